"""`tito profile`: in a process of its own, and one clear line for whatever goes wrong there."""

import contextlib
import json
import os
import subprocess
import sys
import threading

import pytest

from tests.roofs import made
from tinytorch.cli import main
from tinytorch.machine.info import describe, fingerprint
from tinytorch.measure.limits import keep
from tinytorch.profiler import child
from tinytorch.runtime.threads import get_num_threads

HERE = "tests.profiler.subjects"


@pytest.fixture(autouse=True)
def known_machine(monkeypatch, tmp_path):
    """What the child finds in the cache folder, so that it measures nothing of the machine."""
    kernels = os.environ.get("TINYTORCH_CACHE_DIR")
    folder = tmp_path / "cache"
    monkeypatch.setenv("TINYTORCH_CACHE_DIR", str(folder))
    assert keep(made(fingerprint=fingerprint(describe()), threads=get_num_threads())) is None
    return kernels


def told(capsys):
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_function_by_name(capsys, tmp_path):
    status = main(
        ["profile", f"{HERE}:softmax", "64x64:float64", "--seconds", "0.05", "--json", str(tmp_path / "x")]
    )
    out, _ = told(capsys)
    assert status == 0
    assert f"{HERE}:softmax" in out
    assert "By size" in out
    content = json.loads((tmp_path / "x").read_text())
    assert content["kind"] == "tinytorch profile"
    assert content["count"]["operations"] == 5 * 64 * 64 - 2 * 64


def test_only_json(capsys):
    assert main(["profile", f"{HERE}:prints", "100", "--seconds", "0.05", "--json"]) == 0
    out, _ = told(capsys)
    content = json.loads(out)  # what the function prints is no part of it
    assert content["count"]["operations"] == 100


def test_page_and_figures(capsys, tmp_path):
    page = tmp_path / "profile.html"
    figures = tmp_path / "figures"
    figures.mkdir()
    options = ["--html", str(page), "--figures", str(figures), "--format", "png", "--seconds", "0.05"]
    options += ["--timeout", "300"]
    assert main(["profile", f"{HERE}:product", "--inputs", f"{HERE}:squares", *options]) == 0
    text = page.read_text()
    assert "Roofline" in text
    assert len(text) < 2e6
    names = {path.name for path in figures.iterdir()}
    assert {"roofline.png", "samples.png", "time-by-size.png", "latency.png"} <= names


def test_a_stated_cost(capsys):
    cost = ["--cost", "2e6", "8000", "0", "--dtype", "float32", "--seconds", "0.05", "--json"]
    assert main(["profile", f"{HERE}:prints", "10", *cost]) == 0
    content = json.loads(told(capsys)[0])
    assert content["count"]["by"] == "stated"
    assert content["count"]["operations"] == 2_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["raises", "3"], f"{HERE}:raises raised KeyError: 'no such\\nthing' (subjects.py:"),
        (["raises_mutely", "3"], f"{HERE}:raises_mutely raised MuteError: (its text raised RuntimeError)"),
        (["raises_in_colour", "3"], "raised ValueError: ?[31mred?[0m [red]words[/]"),
        (["exits", "3"], f"{HERE}:exits ended the process with status 3"),
        (["dies", "3"], "the function ended the process with status 5 (calling"),
        (["product", "2x3", "4x5"], "raised ValueError: matmul"),
        (["product", "2x3", "7y"], "'7y' is no array"),
        (["nothing", "3"], "has no 'nothing'"),
        (["product"], "raised TypeError"),
        (["prints", "3", "--dtype", "float7"], "there is no dtype 'float7'"),
        (["prints", "--inputs", f"{HERE}:raises"], f"{HERE}:raises raised KeyError"),
        (["produces", "3"], "it returns a generator; a call runs nothing of it"),
        (["prints", "3", "--json", "/no/such/folder/x"], "folder of --json /no/such/folder/x does not exist"),
        (["prints", "3", "--html", "/tmp"], "--html /tmp is a folder"),
        (["prints", "3", "--figures", "/no/such"], "folder of --figures"),
        (["prints", "3", "--cost", "0", "0", "0"], "some bytes must move"),
    ],
)
def test_one_clear_line(arguments, said, capsys):
    is_told(said, arguments, capsys)


def is_told(said, arguments, capsys):
    name, *rest = arguments
    assert main(["profile", f"{HERE}:{name}", *rest]) == 1
    out, err = told(capsys)
    assert said in err
    assert err.startswith("tito profile: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


def test_it_hangs(capsys, monkeypatch):
    """Time is up once the function was called, however long that takes here."""
    called, listen, kill = threading.Event(), child._listen, child._kill

    def listened(process, request, timeout, late, tell):
        def heard(text):
            tell(text)
            if text.startswith("calling"):
                called.set()

        return listen(process, request, timeout, late, heard)

    def killed(process):
        called.wait(120)
        kill(process)

    monkeypatch.setattr(child, "_listen", listened)
    monkeypatch.setattr(child, "_kill", killed)
    is_told("it took more than 0.1 s (calling", ["hangs", "3", "--timeout", "0.1"], capsys)


@pytest.mark.skipif(os.name != "posix", reason="it forks")
def test_it_dies_before_what_it_started(capsys, monkeypatch):
    """Time is up once it has died by itself, while its own child holds the line."""
    kill = child._kill

    def killed(process):
        with contextlib.suppress(ChildProcessError):  # its status was taken already
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        kill(process)

    monkeypatch.setattr(child, "_kill", killed)
    dies = ["leaves_a_child_and_dies", "3", "--timeout", "0.1"]
    is_told("ended the process with status 4", dies, capsys)


@pytest.mark.parametrize(
    "option", [["--cost", "-1", "0", "0"], ["--seconds", "0"], ["--threads", "0"], ["--seconds", "x"]]
)
def test_options_that_cannot_be(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["profile", "m:f", *option])
    assert ended.value.code == 2
    assert "Traceback" not in told(capsys)[1]


def test_interrupted(tmp_path):
    """The child goes with its parent."""
    import signal

    import psutil

    parent = subprocess.Popen(
        [sys.executable, "-m", "tinytorch", "profile", f"{HERE}:hangs", "3", "--timeout", "120"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert any("it hangs" in line for line in parent.stderr)
    children = psutil.Process(parent.pid).children()
    parent.send_signal(signal.SIGINT)
    assert "interrupted" in parent.communicate(timeout=120)[1]
    assert parent.returncode == 130
    gone, alive = psutil.wait_procs(children, timeout=60)
    assert children
    assert not alive
    assert len(gone) == len(children)


def test_the_machine(capsys):
    assert main(["machine"]) == 0
    out, _ = told(capsys)
    for text in (
        "This machine",
        "Peak of multiply-adds",
        "200 GFLOP/s",
        "Bandwidth",
        "Latency",
        "L1 at 32 KiB",
    ):
        assert text in out
    assert main(["machine", "--json"]) == 0
    content = json.loads(told(capsys)[0])
    assert content["limits"]["peaks"]["float64"]["1"]["value"] == 5e10
    assert content["machine"]["usable_cpus"] >= 1


def test_a_machine_that_was_not_measured(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYTORCH_CACHE_DIR", str(tmp_path / "empty"))
    assert main(["machine"]) == 0
    assert "has not been measured: tito machine --measure" in told(capsys)[0]
    assert main(["machine", "--json"]) == 0
    assert json.loads(told(capsys)[0])["limits"] is None
