"""A submission in its process: what it answers, and that nothing it does harms or deceives anybody."""

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tinytorch.course.local import Local
from tinytorch.course.running import process
from tinytorch.course.running.confinement import describe
from tinytorch.course.running.runner import Limits, Runner
from tinytorch.course.subject import (
    Call,
    Mine,
    NotAttemptedError,
    NotRunError,
    Other,
    Probe,
    RaisedError,
    WrongError,
)

HAS = {layer.name: layer.in_force for layer in describe()}
needs_files = pytest.mark.skipif(not HAS["files"], reason="the kernel keeps no files apart here")
needs_calls = pytest.mark.skipif(not HAS["system calls"], reason="the kernel refuses no calls here")

IMPORTS = "import os, sys, threading, time\nimport numpy as np\nfrom numba import njit, prange"
HONEST = """
@njit
def relu(x):
    y = np.empty_like(x)
    for i in range(x.shape[0]):
        y[i] = max(x[i], 0)
    return y

@njit(parallel=True)
def parallel(x):
    y = np.empty_like(x)
    for i in prange(x.size):
        y[i] = np.sqrt(np.abs(np.sin(x[i])))
    return y

def alone(x):
    return np.sqrt(np.abs(np.sin(x)))

def threads(x):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(alone, np.split(x, 2))))

def layout(x):
    return [x.flags.c_contiguous, x.flags.f_contiguous]

def fill(x):
    x[0] = 7

def apply(function, x):
    return function(x)

def todo(x):
    raise NotImplementedError()

def told():
    return (1, [2.5, None], {"a": "b"}, np.float32(3), {1})

def divide():
    return 1 // 0
number = 3
"""


@pytest.fixture(scope="module")
def learner():
    with Runner(
        [IMPORTS, HONEST, "def broken(:\n    pass", "raise KeyError('x')\ndef after():\n    pass"]
    ) as one:
        yield one


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    file = tmp_path_factory.mktemp("local") / "cell.py"
    file.write_text(f"{IMPORTS}\n{HONEST}")
    names = {}
    exec(compile(file.read_text(), file, "exec"), names)
    return Local(names)


@pytest.fixture(params=["runner", "local"])
def either(request, learner, local):
    """Both kinds of subject: they behave the same."""
    return learner if request.param == "runner" else local


def test_a_result_comes_back(either):
    x = np.linspace(-1, 1, 11, dtype=np.float32)
    found = either.call("relu", x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.maximum(x, 0))


def test_plain_values_come_back(either):
    one, two, three, four, five = either.call("told")
    assert (one, two, three) == (1, [2.5, None], {"a": "b"})
    assert (four, four.dtype, four.shape) == (3, np.float32, ())
    assert five == Other("set")


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_arrives_in_its_layout(either, order):
    x = np.zeros((3, 4), order=order)
    assert either.call("layout", x) == [order == "C", order == "F"]
    assert either.call("layout", x[:, ::2]) == [False, False]


def test_an_input_that_is_changed_is_told(either):
    x = np.zeros(3)
    with pytest.raises(WrongError, match="changed its input number 1 in place"):
        either.call("fill", x)
    assert x[0] == 0


def test_probes_and_own_functions_are_arguments_and_targets(either):
    x = np.array([-1.0, 2.0])
    np.testing.assert_array_equal(either.call("apply", Mine("relu"), x), [0, 2])
    np.testing.assert_array_equal(either.call("apply", Probe("relu_in_python"), x), [0, 2])
    np.testing.assert_array_equal(either.call(Probe("relu_in_python"), x), [0, 2])
    assert either.call("apply", Probe("sleeping", (0.0,)), 5) == 5


@pytest.mark.parametrize("name", ["nothing", "todo"])
def test_what_is_not_there_is_not_attempted(learner, name):
    with pytest.raises(NotAttemptedError, match=name):
        learner.call(name, np.zeros(3))
    with pytest.raises(NotAttemptedError, match=name):
        learner.uses(name)


def test_what_a_function_raises_is_told_with_its_line(either):
    with pytest.raises(RaisedError, match="ZeroDivisionError") as caught:
        either.call("divide")
    assert "ArithmeticError" in caught.value.kinds


def test_the_line_is_that_of_the_cell(learner):
    with pytest.raises(RaisedError) as caught:
        learner.call("divide")
    number = HONEST.split("\n").index("    return 1 // 0") + 1
    assert caught.value.where == f"line {number}: return 1 // 0"


def test_what_is_no_function_is_told(either):
    with pytest.raises(WrongError, match="number is a int, not a function"):
        either.call("number")


def test_a_cell_that_failed_is_told_of_where_its_function_is_missing(learner):
    with pytest.raises(
        WrongError, match="cell that defines broken raised SyntaxError: invalid syntax"
    ) as caught:
        learner.call("broken")
    assert caught.value.hint == "line 1: def broken(:"
    with pytest.raises(WrongError, match="cell that defines after raised KeyError: 'x'") as caught:
        learner.uses("after")
    assert caught.value.hint == "line 1: raise KeyError('x')"


def test_time_is_told_as_a_ratio(either):
    x = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    found = either.ratio(Call("relu", (x,)), Call(Probe("relu_in_python"), (x,)))
    assert found.value < 0.5
    np.testing.assert_array_equal(found.first, np.maximum(x, 0))
    np.testing.assert_array_equal(found.second, np.maximum(x, 0))


def test_one_thread_is_told_from_several(either):
    x = np.random.default_rng(1).standard_normal(2_000_000)
    assert either.busiest("alone", x, seconds=0.5) > 0.9
    assert either.busiest("threads", x, seconds=0.5) < 0.8


def test_texts_that_cannot_be_read_are_left_out_or_told():
    sums = {
        number: f"def f():\n    return abs(1)\nx = {'+'.join('1' * number)}" for number in (2_000, 20_000)
    }
    with Runner(["def f():\n    return abs(1)", sums[20_000], "x = " + "(" * 500, "\0"]) as learner:
        assert learner.uses("f") == {"abs"}
    with Runner([sums[2_000]]) as learner, pytest.raises(WrongError, match="the text of f cannot be read"):
        learner.uses("f")


def test_compiled_threads_work(learner):
    x = np.random.default_rng(1).standard_normal(10_000)
    np.testing.assert_allclose(learner.call("parallel", x), np.sqrt(np.abs(np.sin(x))))


def test_what_a_function_calls_is_read(either):
    assert {"numpy.sqrt", "numpy.abs", "numpy.sin"} <= either.uses("alone")
    assert "numpy.sqrt" in either.uses("threads")


KERNEL = """
from numba import cuda

@cuda.jit
def add_one(x, n, y):
    i = cuda.grid(1)
    if i < n:
        y[i] = x[i] + 1

@cuda.jit
def endless(x, n, y):
    while x[0] == 0:
        y[0] += 1

def empty(x, n, y):
    raise NotImplementedError()
"""


def test_a_kernel_is_analysed_here():
    pytest.importorskip("numba_cuda")
    x, y = np.zeros(64, np.float32), np.zeros(64, np.float32)
    with Runner([KERNEL]) as learner:
        found = learner.gpu("add_one", 2, 32, x, 64, y)
        assert found.totals.global_loads.requests == found.totals.global_stores.requests == 2
        with pytest.raises(RaisedError, match=r"endless|steps"):
            learner.gpu("endless", 1, 32, x, 64, y)
        with pytest.raises(RaisedError, match="takes 3 arguments"):
            learner.gpu("add_one", 2, 32, x)
        with pytest.raises(NotAttemptedError):
            learner.gpu("empty", 2, 32, x, 64, y)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("('no PTX', ['x', 'n', 'y'])", RaisedError),
        ("('', ['x', 'n', 'y'])", RaisedError),
        ("('.visible .entry e(.param .u64 x)', ['x', 'n', 'y'])", RaisedError),
        ("('.global .b8 big[99999999999];', ['x', 'n', 'y'])", RaisedError),
        ("('', ['x'])", WrongError),
        ("5", WrongError),
        ("('x' * 5_000_000, ['x', 'n', 'y'])", WrongError),
    ],
)
def test_a_forged_kernel_is_an_error(answer, kind):
    pytest.importorskip("numba_cuda")
    forge = "import tinytorch.course.running.cells as s\ns.Cells.do_ptx = lambda self, **_: "
    with Runner([forge + answer]) as learner, pytest.raises(kind):
        learner.gpu("add_one", 1, 32, np.zeros(3, np.float32), 3, np.zeros(3, np.float32))


def test_without_numba_cuda_a_kernel_is_not_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    with Runner(["def kernel(x):\n    pass"]) as learner, pytest.raises(NotRunError, match=r"\[gpu\]"):
        learner.gpu("kernel", 1, 32, np.zeros(3, np.float32))


# What follows is hostile, or broken beyond what an exception tells.

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


def goes_on(learner):
    """The next call is answered as if nothing had been."""
    np.testing.assert_array_equal(learner.call("fine", np.arange(3)), [1, 2, 3])


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


# Processes, files and signals: once as Python has them, once as the system does.

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


def running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# Deceit: of the clock, of NumPy, of the yardstick, of the checks.

SLOW = """
def slow(x):
    y = np.empty_like(x)
    for i in range(x.size):
        y[i] = max(x[i], 0)
    return y
"""


def ratio_of(*cells, size=20_000, **limits):
    x = np.random.default_rng(1).standard_normal(size).astype(np.float32)
    with Runner([IMPORTS, SLOW, *cells], limits=Limits(**limits)) as learner:
        return learner.ratio(Call("slow", (x,)), Call(Probe("relu_in_python"), (x,))).value


def test_a_patched_clock_makes_nothing_faster():
    patch = """
    for name in ("perf_counter", "time", "monotonic", "process_time", "perf_counter_ns", "thread_time"):
        setattr(time, name, lambda: 0.0)
    """
    assert ratio_of(textwrap.dedent(patch)) > 0.5


@pytest.mark.parametrize("how", ["longer", "times four"])
def test_a_yardstick_that_was_slowed_down_is_of_no_use(how):
    patch = f"""
    from tinytorch.course import probes
    honest = probes.relu_in_python
    def slower(x):
        if "{how}" == "longer":
            time.sleep(0.3)
        return [honest(x) for _ in range(4)][0]
    probes.relu_in_python = slower
    """
    assert ratio_of(textwrap.dedent(patch)) > 0.5


def test_work_that_goes_on_in_the_background_is_noticed():
    patch = """
    calculate = slow
    def slow(x):
        y = np.empty_like(x)
        def work():
            y[:] = calculate(x)
        threading.Thread(target=work).start()
        return y
    from tinytorch.course import calling
    honest = calling.plain
    def plain(value):
        for one in threading.enumerate():
            if one.name.startswith("Thread") and "work" in one.name:
                one.join()
        return honest(value)
    calling.plain = plain
    """
    with pytest.raises(WrongError, match="outside of the call that is timed"):
        ratio_of(textwrap.dedent(patch), size=300_000)


def test_every_round_is_seen():
    sloppy = """
    def careful(x, n):
        return x * n
    """
    x = np.random.default_rng(1).standard_normal(1000)
    with Runner([IMPORTS, textwrap.dedent(sloppy)]) as learner:
        found = learner.ratio(Call("careful", (x, 50_000)), Call(Probe("relu_in_python"), (x,)), rounds=5)
    assert len(found.seen) == 5
    for (given, n), result in found.seen:
        np.testing.assert_array_equal(result, given * n)
    given = [one.tobytes() for (one, _), _ in found.seen]
    assert len(set(given)) == 5
    assert given[-1] == x.tobytes()
    counts = [n for (_, n), _ in found.seen]
    assert len(set(counts)) == 5
    assert all(49_000 < n <= 50_000 for n in counts)


@pytest.mark.parametrize("when", ["ready", "result"])
def test_work_outside_of_the_timed_call_is_noticed(when):
    patch = f"""
    from tinytorch.course.running.cells import Cells
    honest = Cells.do_go, Cells.do_{when}
    def go(self, place):
        if place == 1:
            honest[0](self, place)
    def other(self, place, **request):
        if "{when}" == "ready":
            honest[1](self, place, **request)
        if place == 0:
            honest[0](self, place)
        if "{when}" == "result":
            return honest[1](self, place)
    Cells.do_go, Cells.do_{when} = go, other
    """
    with pytest.raises(WrongError, match="outside of the call that is timed"):
        ratio_of(textwrap.dedent(patch), size=300_000)


@pytest.mark.parametrize(
    "patch",
    [
        "import tinytorch.course.probes as p\np.sleeping = lambda seconds: abs",
        "import sys\nsys.modules['tinytorch.' + 'course.probes'].sleeping = lambda seconds: abs",
        "import importlib\nimportlib.import_module('tinytorch.' + 'course.probes').sleeping = lambda s: abs",
    ],
)
def test_what_probes_tell_counts_for_nothing_where_they_could_be_changed(patch):
    with Runner([IMPORTS, HONEST, patch]) as learner:
        goes = learner.call("relu", np.array([-1.0, 2.0]))
        np.testing.assert_array_equal(goes, [0, 2])
        with pytest.raises(WrongError, match=r"its cells use .*could have been changed"):
            learner.call("apply", Probe("sleeping", (0.0,)), 5)


def test_kept_answers_are_of_no_use():
    memo = """
    calculate, answers = slow, {}
    def slow(x):
        if x.tobytes() not in answers:
            answers[x.tobytes()] = calculate(x)
        return answers[x.tobytes()]
    """
    assert ratio_of(textwrap.dedent(memo)) > 0.5


def test_answers_recorded_before_are_wrong():
    record = """
    recorded = [np.ones(3)]
    def square(x):
        recorded.append(recorded[-1])
        return recorded[-1]
    """
    with Runner([IMPORTS, textwrap.dedent(record)]) as learner:
        for seed in range(3):
            x = np.random.default_rng(seed).standard_normal(3)
            assert not np.allclose(learner.call("square", x), x * x)


def test_a_patched_numpy_makes_nothing_right():
    patch = """
    np.allclose = np.array_equal = lambda *_: True
    np.ndarray_eq = True
    np.matmul = np.dot = lambda a, b: np.zeros((len(a), b.shape[1]))
    def product(a, b):
        return np.dot(a, b)
    """
    with Runner([IMPORTS, textwrap.dedent(patch)]) as learner:
        a = np.random.default_rng(1).standard_normal((4, 4))
        assert not np.allclose(learner.call("product", a, a), a @ a)


def test_one_thread_cannot_pass_for_several():
    patch = """
    from tinytorch.course import shares
    shares.busiest = lambda call, seconds: [call() for _ in range(20)] and 0.5
    """
    x = np.random.default_rng(1).standard_normal(1_000_000)
    with Runner([IMPORTS, HONEST, textwrap.dedent(patch)]) as learner:
        assert learner.busiest("alone", x, seconds=1.0) > 0.9


def test_what_a_process_says_is_shown_as_one_line_without_control_characters():
    code = "def bad():\n    raise ValueError('\\x1b[2J\\x07 first\\nsecond' + 'x' * 10_000)"
    with Runner([code]) as learner, pytest.raises(RaisedError) as caught:
        learner.call("bad")
    assert caught.value.message.startswith("?[2J? first second")
    assert len(str(caught.value)) < 700


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
