"""A submission that is hostile, or broken beyond what an exception tells, harms only itself."""

import contextlib
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from tests.course.in_runner import IMPORTS, goes_on, running
from tinytorch.course.running import process
from tinytorch.course.running.runner import Limits, Runner
from tinytorch.course.subject import (
    Other,
    RaisedError,
    WrongError,
)

HOSTILE = """
import ctypes

def fine(x):
    return x + 1

def endless():
    while True:
        pass

def sleepy():
    time.sleep(1000)

def leave():
    sys.exit(3)

def leave_at_once():
    os._exit(0)

def abort():
    os.abort()

def fault():
    ctypes.string_at(0)

def close_everything():
    os.closerange(0, 1000)

def garbage():
    for number in range(64):
        try:
            os.write(number, b"nobody reads this, one hopes " * 100)
        except OSError:
            pass
    return 1

def forge_an_answer():
    from tinytorch.course.running import wire
    for number in range(64):
        try:
            os.write(number, wire.packed({"number": 10**6, "value": 1}))
        except OSError:
            pass

def forge_a_size():
    import struct
    for number in range(3, 64):
        try:
            os.write(number, struct.pack(">4sIQ", b"tito", 10, 10 << 30))
        except OSError:
            pass

def eat():
    kept = []
    while True:
        kept.append(np.ones(1 << 20))

def reserve():
    return np.ones(1 << 44)

def huge():
    return np.broadcast_to(np.float64(1), (1 << 34,))

def large():
    return np.zeros(50 << 20)

def deep():
    found = []
    for _ in range(10**6):
        found = [found]
    return found

def strange():
    class Array(np.ndarray):
        def __array_finalize__(self, other):
            self.mine = 1
    return [np.zeros(3).view(Array), np.array([None]), np.array([np.nan]), np.ma.array([1.0], mask=[True])]

def immortal():
    import signal
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    for _ in range(4):
        threading.Thread(target=endless).start()
    return 1

def shout():
    text = "x" * (1 << 20)
    for _ in range(1024):
        sys.stdout.write(text)
    os.write(2, b"y" * 100)
    return 1

def litter():
    number = 0
    while True:
        number += 1
        with open(f"file{number}", "wb") as file:
            file.write(b"x" * (1 << 20))

def litter_without_names(mapped):
    import mmap
    kept = []
    for number in range(100):
        file = open(f"file{number}", "w+b")
        os.unlink(file.name)
        file.write(b"x" * (2 << 20))
        file.flush()
        kept.append(mmap.mmap(file.fileno(), 4096) if mapped else file)
        if mapped:
            file.close()
    time.sleep(1000)

def spawn_threads():
    threading.stack_size(65536)
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

def one_large_file():
    with open("large", "wb") as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))

def remove_own_folder():
    import shutil
    shutil.rmtree(os.getcwd())
    return 1

def maze():
    for _ in range(1200):
        os.mkdir("a" * 50)
        os.chdir("a" * 50)
    return 1
"""
SMALL = Limits(call=8.0, memory=768 << 20, folder=32 << 20)


@pytest.fixture(scope="module")
def hostile():
    with Runner([IMPORTS, HOSTILE], limits=SMALL) as one:
        yield one
    assert one._process is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("endless", "it took more than 8 s: a loop that does not end"),
        ("sleepy", "it took more than 8 s"),
        ("leave_at_once", "the process ended"),
        ("abort", "the process ended"),
        ("fault", "the process ended: a crash in compiled code"),
        ("close_everything", "the process ended|closed the channel"),
        ("garbage", "it wrote into the channel of the checks"),
        ("forge_an_answer", "it wrote into the channel of the checks"),
        ("forge_a_size", "it wrote into the channel of the checks"),
        ("large", "result is too large"),
        ("eat", "it took more than 0.75 GB of memory"),
        ("litter", "it wrote more than 32 MB of files"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_call_is_answered(hostile, name, told):
    if name == "eat":
        hostile._limits = Limits(call=120.0, memory=768 << 20)  # a busy machine hands out memory slowly
    try:
        with pytest.raises(WrongError, match=told):
            hostile.call(name)
    finally:
        hostile._limits = SMALL
    goes_on(hostile)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell of them")
@pytest.mark.parametrize("mapped", [False, True])
def test_files_without_a_name_are_counted(hostile, mapped):
    with pytest.raises(WrongError, match="it wrote more than 32 MB of files"):
        hostile.call("litter_without_names", mapped)
    goes_on(hostile)


def test_threads_are_counted(hostile):
    with pytest.raises((WrongError, RaisedError), match=r"it started more than \d+ threads|start new thread"):
        hostile.call("spawn_threads")
    goes_on(hostile)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("leave", "SystemExit"),
        ("reserve", "MemoryError"),
        ("huge", "MemoryError"),
        ("deep", "RecursionError"),
        ("one_large_file", "OSError"),
    ],
)
def test_what_python_can_stop_is_an_exception(hostile, name, kind):
    with pytest.raises(RaisedError) as caught:
        hostile.call(name)
    assert kind in caught.value.kinds
    goes_on(hostile)


def test_strange_arrays_come_back_as_plain_ones(hostile):
    found = hostile.call("strange")
    assert [type(part) for part in found] == [np.ndarray, Other, np.ndarray, np.ndarray]
    assert np.isnan(found[2][0])


def test_a_gigabyte_that_is_printed_is_dropped():
    with Runner([IMPORTS, HOSTILE], limits=Limits(call=200.0)) as learner:
        assert learner.call("shout") == 1
        assert 0 < len(learner.printed()) <= 64 << 10
        goes_on(learner)


def test_nothing_is_left_of_threads_that_do_not_end_and_hear_no_signal():
    with Runner([IMPORTS, HOSTILE]) as learner:
        assert learner.call("immortal") == 1
        pid, folder = learner._process.pid, learner._folder
    assert not psutil.pid_exists(pid)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["remove_own_folder", "maze"])
def test_whatever_becomes_of_its_folder_it_is_removed(name):
    with Runner([IMPORTS, HOSTILE], limits=Limits(call=10.0)) as learner:
        # Where a path may not be as long, or its length takes the time, the call fails: that is its affair.
        with contextlib.suppress(RaisedError, WrongError):
            assert learner.call(name) == 1
        goes_on(learner)
        folder = learner._folder
    assert not folder.exists()


def test_a_folder_closed_to_its_owner_is_removed(tmp_path):
    inner = tmp_path / "top" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    (tmp_path / "top" / "link").symlink_to(tmp_path)
    for folder in (inner, inner.parent, inner.parent.parent):
        folder.chmod(0)
    process.remove(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_does_not_end_is_left_out():
    cells = [
        "while True:\n    pass\ndef looping():\n    pass",
        "def fine(x):\n    return x + 1",
        "import os\nos._exit(1)",
    ]
    with Runner(cells, limits=Limits(load=2.0)) as learner:
        goes_on(learner)
        with pytest.raises(
            WrongError, match="cell that defines looping did not end well: it took more than 2 s"
        ):
            learner.call("looping")
        pid = learner._process.pid
        goes_on(learner)
        assert learner._process.pid == pid


def test_all_time_together_is_limited():
    with Runner([IMPORTS, HOSTILE], limits=Limits(total=3.0)) as learner:
        with pytest.raises(WrongError, match="it took more than"):
            learner.call("endless")
        with pytest.raises(WrongError, match="time is up"):
            learner.call("fine", 1)


def test_nothing_is_left_behind():
    """No folder, no thread, no process, no open file, also of processes that were replaced."""

    children = {one.pid for one in psutil.Process().children()}
    files = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    threads = threading.active_count()
    for _ in range(3):
        with Runner([IMPORTS, HOSTILE], limits=SMALL) as learner:
            goes_on(learner)
            with pytest.raises(WrongError):
                learner.call("leave_at_once")
            goes_on(learner)
            mine = learner._folder
            assert mine.is_dir()
        assert not mine.exists()
    end = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= threads
    assert [
        one.pid for one in psutil.Process().children() if one.pid not in children and running(one.pid)
    ] == []
    if files:
        assert psutil.Process().num_fds() <= files + 1
