"""Processes, files and signals are out of reach: once as Python has them, once as the system does."""

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.course.in_runner import IMPORTS, goes_on, running
from tinytorch.course.running import process
from tinytorch.course.running.confinement import describe
from tinytorch.course.running.runner import Limits, Runner
from tinytorch.course.subject import (
    RaisedError,
)

HAS = {layer.name: layer.in_force for layer in describe()}
needs_files = pytest.mark.skipif(not HAS["files"], reason="the kernel keeps no files apart here")
needs_calls = pytest.mark.skipif(not HAS["system calls"], reason="the kernel refuses no calls here")

OUTSIDE = """
import ctypes

libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None

def fork():
    return os.fork()

def fork_bomb():
    while True:
        os.fork()

def system_fork():
    return libc.fork()

def system_vfork():
    return libc.syscall({"x86_64": 58}.get(os.uname().machine, 1071))

def run():
    import subprocess
    return subprocess.run([sys.executable, "-c", "1"]).returncode

def pool():
    import multiprocessing
    with multiprocessing.Pool(2) as workers:
        return workers.map(abs, [1, 2])

def program():
    os.execv(sys.executable, [sys.executable, "-c", "1"])

def connect():
    import socket
    return socket.socket()

def kill_parent():
    os.kill(os.getppid(), 9)

def kill_group():
    os.killpg(os.getpgid(os.getppid()), 9)

def write(path):
    with open(path, "w") as file:
        file.write("I was here")

def read(path):
    with open(path) as file:
        return file.read()

def system_write(path):
    return libc.open(path.encode(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)

def system_read(path):
    return libc.open(path.encode(), os.O_RDONLY)

def system_kill(pid):
    return libc.kill(pid, 9)

def system_remove(path):
    return libc.unlink(path.encode())

def system_chmod(path):
    return libc.chmod(path.encode(), 0)

def system_limit(pid):
    return libc.prlimit(pid, 7, (ctypes.c_ulong * 2)(0, 0), None)

def system_reserve():
    keep_size, file = 1, os.open("reserved", os.O_CREAT | os.O_WRONLY)
    return libc.fallocate(file, keep_size, ctypes.c_long(0), ctypes.c_long(1 << 26))

def system_hide():
    return libc.prctl(4, 0, 0, 0, 0)

def system_socket():
    return libc.socket(2, 1, 0)

def imports(name):
    import importlib
    return str(importlib.import_module(name))

def listing(path):
    return os.listdir(path)
"""


@pytest.fixture(scope="module")
def outside():
    with Runner([IMPORTS, OUTSIDE, "def fine(x):\n    return x + 1"], limits=Limits(call=10.0)) as one:
        yield one


@pytest.mark.parametrize(
    "name",
    [
        *("fork", "fork_bomb", "run", "program", "connect", "kill_parent", "kill_group"),
        pytest.param("pool", marks=needs_files),  # elsewhere it waits for processes that never begin
    ],
)
def test_processes_signals_and_sockets_are_refused_in_words(outside, name):
    if not hasattr(os, "fork") and name in ("fork", "fork_bomb", "kill_group"):
        pytest.skip("of POSIX")
    with pytest.raises(RaisedError) as caught:
        outside.call(name)
    assert "PermissionError" in caught.value.kinds
    assert psutil.Process(outside._process.pid).children(recursive=True) == []
    goes_on(outside)


@needs_calls
@pytest.mark.parametrize(
    "name", ["system_fork", "system_vfork", "system_socket", "system_reserve", "system_hide"]
)
def test_the_kernel_refuses_them_too(outside, name):
    assert outside.call(name) == -1
    assert psutil.Process(outside._process.pid).children(recursive=True) == []


@needs_calls
def test_the_kernel_keeps_this_process_from_it(outside):
    for pid in (os.getpid(), -os.getpgid(0), -1):
        assert outside.call("system_kill", pid) == -1
    assert outside.call("system_limit", os.getpid()) == -1
    goes_on(outside)


@pytest.mark.parametrize("place", ["tmp", "home", "package"])
def test_nothing_is_written_outside(outside, tmp_path, place):
    folder = {"tmp": tmp_path, "home": Path.home(), "package": Path(process.__file__).parent}[place]
    target = folder / f"written-by-a-submission-{os.getpid()}"
    with pytest.raises(RaisedError, match="may not write outside its folder"):
        outside.call("write", str(target))
    if HAS["files"]:
        assert outside.call("system_write", str(target)) == -1
    assert not target.exists()


def test_another_submission_is_not_read(outside, tmp_path):
    (tmp_path / "kernels.py").write_text("a secret")
    with Runner([IMPORTS, "def fine(x):\n    return x + 1"]) as other:
        goes_on(other)
        for path in (other._folder / "cell_2.py", tmp_path / "kernels.py"):
            assert path.read_text()
            with pytest.raises(RaisedError, match="may not read files of others"):
                outside.call("read", str(path))
            if HAS["files"]:
                assert outside.call("system_read", str(path)) == -1


@needs_files
def test_names_of_files_are_not_told(outside):
    for path in (Path.home(), Path(tempfile.gettempdir())):
        with pytest.raises(RaisedError) as caught:
            outside.call("listing", str(path))
        assert "PermissionError" in caught.value.kinds


@needs_files
def test_nothing_that_the_system_tells_of_this_process_is_read(outside):
    for name in ("environ", "cmdline", "status"):
        assert outside.call("system_read", f"/proc/{outside._process.pid}/{name}") >= 0
        assert outside.call("system_read", f"/proc/{os.getpid()}/{name}") == -1


@needs_files
def test_the_checks_are_not_read(outside):
    with pytest.raises(RaisedError, match="may not read files of others"):
        outside.call("imports", "tinytorch.course.checks.int8")
    assert outside.call("system_read", str(Path(process.__file__).parent / "checks" / "int8.py")) == -1


@needs_files
@needs_calls
def test_files_keep_their_contents_and_modes(outside, tmp_path):
    path = tmp_path / "mine"
    path.write_text("mine")
    mode = path.stat().st_mode
    for name in ("system_remove", "system_chmod", "system_write"):
        assert outside.call(name, str(path)) == -1
    assert path.read_text() == "mine"
    assert path.stat().st_mode == mode


def test_secrets_of_the_environment_are_not_handed_on(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    monkeypatch.setenv("TINYTORCH_WORKSPACE", "/somewhere")
    with Runner(["import os\ndef names():\n    return sorted(os.environ)"]) as learner:
        found = learner.call("names")
    assert "HOME" in found
    assert not {"MY_TOKEN", "TINYTORCH_WORKSPACE", "PYTHONPATH"} & set(found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="of POSIX")
def test_without_confinement_what_it_started_is_ended_all_the_same():
    code = """
    import subprocess, sys
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    detached = f"import subprocess; print(subprocess.Popen({sleep}, start_new_session=True, **{quiet}).pid)"
    def start():
        orphan = subprocess.run([sys.executable, "-c", detached], stdout=subprocess.PIPE, text=True).stdout
        return [subprocess.Popen(sleep).pid, int(orphan)]
    """
    with Runner([textwrap.dedent(code)], confined=False) as learner:
        pids = learner.call("start")
        assert all(psutil.pid_exists(pid) for pid in pids)
    for _ in range(100):
        if not any(running(pid) for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError("they still run")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a process does not see that its parent is no more")
def test_a_process_ends_with_the_one_that_started_it():
    code = (
        "import os; from tinytorch.course.running.runner import Runner; learner = Runner(['def f(): pass']);"
        "learner.call('f'); print(learner._process.pid, learner._folder, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid, folder = done.stdout.split()
    process.remove(Path(folder))
    for _ in range(100):
        if not running(int(pid)):
            return
        time.sleep(0.1)
    raise AssertionError("it still runs")
