"""`tito bench`: its ladders, the digits, its file and its errors."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.roofs import GIGA, made
from tinytorch.bench import digits, ladder, report, run
from tinytorch.cli import main
from tinytorch.measure import WrongResultError, timing
from tinytorch.ops.registry import operations

EFFORT = {"seconds": 0.001, "rounds": 3}
SMALL = (
    ("matmul", (256, 256, 256), (12, 13, 14), True),
    ("linear", (64, 768, 3072), (4, 20, 30), False),
    ("relu", (1_000_000,), (100,), True),
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(timing, "REST_SECONDS", 0)
    monkeypatch.setattr(run, "limits", lambda tell: made())
    monkeypatch.setattr(ladder, "CASES", SMALL)


def silent(_):
    """Hear nothing."""


def test_ladders():
    matmul, linear, relu = ladder.climb(quick=True, effort=EFFORT, limits=made(), tell=silent)
    assert [step.rung.name for step in matmul.steps] == [
        "python loops", "numpy", "blocked", "vectorized", "parallel", "quantized",
    ]  # fmt: skip
    assert matmul.cost.operations == 2 * 12 * 13 * 14
    assert (matmul.unit, relu.unit) == ("GFLOP/s", "GB/s")
    assert matmul.steps[0].against_bottom == 1
    assert matmul.steps[1].against_numpy == 1
    for step in matmul.steps:
        assert step.rate == pytest.approx(matmul.cost.operations / step.measurement.median)
        # Measured beside it, not the 200 that limits say.
        assert 0 < step.place.roof("compute").rate != 200 * GIGA
    assert linear.as_dict()["rungs"][0]["samples_s"]
    in_int8 = next(step for step in linear.steps if step.rung.name == "int8, packed weights")
    assert in_int8.dtype == np.int8
    assert in_int8.cost.read < linear.cost.read  # its weights are a quarter of the bytes
    assert [str(step.dtype) for step in relu.steps][:2] == ["float32", "float32"]


def test_every_case_is_declared():
    for name, shape, quick_shape, _ in (*SMALL, *ladder.CASES):
        operation = operations()[name]
        for each in (shape, quick_shape):
            operation.cost(*operation.inputs(np.random.default_rng(0), each, np.dtype(np.float32)))


def test_a_wrong_kernel_is_not_timed(monkeypatch):
    operation = operations()["relu"]
    broken = replace(operation.ladder["vectorized"], prepare=lambda *_: np.abs)
    monkeypatch.setitem(operation.ladder, "vectorized", broken)
    with pytest.raises(WrongResultError, match=r"vectorized: .* elements are wrong"):
        list(ladder.climb(quick=True, effort=EFFORT, limits=made(), tell=silent))


def test_digits():
    plain, float32, int8 = digits.classify(EFFORT, silent)
    assert plain.images == 450
    assert plain.accuracy == float32.accuracy > 0.96
    assert int8.accuracy > plain.accuracy - 0.01
    assert int8.weight_bytes < 0.3 * float32.weight_bytes
    weights, images, labels = digits.load_digits()
    assert images.shape == (450, 1, 8, 8)
    assert images.max() == 1
    assert len(labels) == 450
    assert set(weights) == {
        f"{layer}.{part}" for layer in ("conv", "hidden", "output") for part in ("weight", "bias")
    }


def test_the_whole_of_it(tmp_path, capsys, monkeypatch):
    target = tmp_path / "bench.json"
    monkeypatch.setattr(run, "QUICK", EFFORT)
    assert main(["bench", "--quick", "--json", str(target)]) == 0
    told = capsys.readouterr().out
    for text in ("This machine", "matmul 12 x 13 x 14", "quantized", "digits", "x NumPy"):
        assert text in told
    content = json.loads(target.read_text())
    assert content["schema"] == run.SCHEMA
    assert content["machine"]["versions"]["numpy"] == np.__version__
    assert len(content["ladders"]) == 3
    assert len(content["digits"]) == 3
    assert content["limits"]["peaks"]["float32"]["2"]["value"] == 200 * GIGA
    assert list(tmp_path.iterdir()) == [target]


def test_page_and_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "QUICK", EFFORT)
    page, folder = tmp_path / "bench.html", tmp_path / "figures"
    folder.mkdir()
    assert main(["bench", "--quick", "--html", str(page), "--figures", str(folder)]) == 0
    text = page.read_text()
    assert len(text) < 2e6
    for said in (
        "Roofline float32",
        "Roofline int8",
        "Ladder matmul 12 x 13 x 14",
        "Latency",
        "Handwritten digits",
    ):
        assert said in text
    names = sorted(path.name for path in folder.iterdir())
    assert "roofline-float32.svg" in names
    assert "latency.svg" in names
    assert all(path.read_text().startswith("<svg") for path in folder.iterdir())
    assert f"written: {page}" in capsys.readouterr().out.replace("\n", "")


def test_figures_without_what_draws_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    assert main(["bench", "--html", str(tmp_path / "x.html")]) == 1
    assert "pip install 'tinytorch-kernels[report]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_tables_fit_80_columns():
    console = Console(width=80, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    for each in ladder.climb(quick=True, effort=EFFORT, limits=made(), tell=silent):
        report.show_ladder(console, each)
    report.show_digits(console, digits.classify(EFFORT, silent))
    text = console.export_text()
    assert "x NumPy" in text
    assert "weights" in text
    assert "…" not in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--json", "/no/such/folder/x.json"], "folder of --json /no/such/folder/x.json does not exist"),
        (["--json", "/tmp"], "--json /tmp is a folder"),
        (["--json", "/dev/null"], "--json /dev/null is no ordinary file"),
    ],
)
def test_bad_json_target(arguments, text, capsys):
    assert main(["bench", *arguments]) == 1
    told = capsys.readouterr()
    assert text in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "text"),
    [
        (["bench", "--quick", "--json", "/proc/x.json"], {}, 1, "--json /proc/x.json cannot be written"),
        (["bench"], {"TINYTORCH_NUM_THREADS": "many"}, 1, "TINYTORCH_NUM_THREADS must be"),
        (["nonsense"], {}, 2, "invalid choice"),
        ([], {}, 2, "climb the ladder"),
    ],
)
def test_no_traceback(arguments, environment, status, text):
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch.cli", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr
