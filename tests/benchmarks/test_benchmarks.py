"""The comparison with the peers: what it says of times, and a whole small run of it."""

import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.suites import LAYERS, ROWS, SUITES, parse_shape
from benchmarks.summary import geometric_mean

import benchmarks

ROOT = Path(benchmarks.__file__).parent.parent


def run(*arguments, **environment):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    whole = {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=whole, timeout=300, check=False
    )


@pytest.mark.parametrize(
    "name", [m.name for m in pkgutil.iter_modules(benchmarks.__path__, "benchmarks.") if not m.ispkg]
)
def test_docstrings(name):
    if name.endswith("__main__"):
        return
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


def test_the_suite_has_every_shape_that_is_promised():
    shapes = {case.shape for case in SUITES["float32"].cases(quick=False, shapes=None)}
    assert {(n, n, n) for n in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)} <= shapes
    assert {(rows, *layer) for rows in ROWS for layer in LAYERS} <= shapes
    assert {(1, 1, 1), (7, 13, 5), (1000, 1, 1000), (1, 100000, 1), (33, 17, 4095)} <= shapes


def test_shapes_and_means():
    assert parse_shape("7x13x5") == (7, 13, 5)
    with pytest.raises(ValueError, match="7xx5"):
        parse_shape("7xx5")
    assert geometric_mean([1, 4]) == 2
    with pytest.raises(ValueError, match="no values"):
        geometric_mean([])


def test_a_run_against_numpy(tmp_path):
    target = tmp_path / "result.json"
    done = run(
        *("float32", "linear", "--shapes", "5x17x33", "--threads", "1", "--peers", "numpy", "--rounds", "3"),
        *("--json", str(target)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "geometric mean" in done.stdout
    result = json.loads(target.read_text())
    assert [suite["suite"] for suite in result["suites"]] == ["float32", "linear"]
    assert result["suites"][0]["summary"]["count"] == 1
    assert "numpy" in result["versions"]


def test_a_mistake_is_one_clear_line():
    done = run("floats")
    assert done.returncode == 2
    assert "there is no suite 'floats'; there are" in done.stderr
    assert "Traceback" not in done.stderr
