"""The pool: every tile once, from any thread, after fork and spawn."""

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numba import types

from tests.threads import in_threads
from tinytorch import get_num_threads, ops, set_num_threads
from tinytorch.core import kernels
from tinytorch.ops import plan, product
from tinytorch.runtime import pool, threads
from tinytorch.runtime.building import building
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.scratch import scratch
from tinytorch.simd import build
from tinytorch.simd.elementwise import elementwise_kernels


@tile_kernel(lambda T: (T[::1], types.int64[::1]))
def mark(tile, thread, counts, owners):
    counts[tile] += 1
    owners[tile] = thread


@tile_kernel(lambda T: (T[::1], types.int64[::1], types.int64))
def toil(tile, thread, values, owners, steps):
    value = values[tile]
    for _ in range(steps):
        value = value * 0.999999 + 1e-9
    values[tile] = value
    owners[tile] = thread


INT = np.dtype(np.int64)
REAL = np.dtype(np.float64)
#: Seconds after which what must happen is given up: others may have the CPU for a while.
HANGS = 120


def owners_of(tiles, steps, count):
    """Return the threads that took tiles of a launch."""
    values, owners = np.ones(tiles), np.zeros(tiles, np.int64)
    toil[REAL](tiles, values, owners, steps, threads=count)
    return set(owners.tolist())


def others_take_part(steps, count):
    """Launch until a worker has taken a tile; on one CPU none may ever."""
    until = time.monotonic() + HANGS
    while len(os.sched_getaffinity(0)) > 1 and time.monotonic() < until:
        time.sleep(0.005)
        if max(owners_of(64, steps, count)) > 0:
            return True
    return len(os.sched_getaffinity(0)) == 1


@pytest.mark.parametrize("number", [0, 1, 2, 3, 100, 65535, 65536, 200_001])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_tile_exactly_once(number, count):
    counts, owners = np.zeros(number, np.int64), np.full(number, -1)
    for repeat in range(1, 4):
        mark[INT](number, counts, owners, threads=count)
        assert np.all(counts == repeat)
        assert np.all((owners >= 0) & (owners < count))


def test_many_small_launches():
    counts, owners = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for _ in range(20_000):
        mark[INT](3, counts, owners, threads=3)
    assert np.all(counts == 20_000)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_number_of_threads_is_honoured(count):
    seen = set().union(*(owners_of(64, 2000, count) for _ in range(200)))
    assert seen <= set(range(count))
    assert count == 1 or others_take_part(2000, count)


def test_workers_sleep_and_wake():
    owners_of(64, 10, 2)
    used = []
    for _ in range(20):  # where CPU time holds what was stolen meanwhile, one may be too much
        begin = time.process_time()
        time.sleep(0.3)
        used.append(time.process_time() - begin)
        if used[-1] < 0.15:
            break
    assert min(used) < 0.15  # asleep, not spinning
    assert others_take_part(20_000, 2)


def test_launches_from_many_python_threads():
    wrong = []

    def work(seed):
        x = np.random.default_rng(seed).standard_normal(300_000, np.float32)
        exact = np.maximum(x, 0)
        for _ in range(50):
            if not np.array_equal(kernels.parallel_relu(x, num_workers=2).data, exact):
                wrong.append(seed)

    in_threads(work, 8)
    assert not wrong


def _child(queue):
    x = np.linspace(-1, 1, 400_000, dtype=np.float32)
    result = kernels.parallel_relu(x, num_workers=2).data
    queue.put((bool(np.array_equal(result, np.maximum(x, 0))), pool.current().address))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_after(method):
    x = np.linspace(-1, 1, 400_000, dtype=np.float32)
    kernels.parallel_relu(x, num_workers=2)  # the parent has workers
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=_child, args=(queue,)) for _ in range(3)]
    for child in children:
        child.start()
    answers = [queue.get(timeout=HANGS) for _ in children]
    for child in children:
        child.join(timeout=HANGS)
        assert child.exitcode == 0
    assert all(right for right, _ in answers)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_while_another_thread_is_in_a_kernel():
    stop, x = threading.Event(), np.ones(2_000_000, np.float32)

    def work():
        while not stop.is_set():
            kernels.parallel_relu(x, num_workers=2)

    runner = threading.Thread(target=work)
    runner.start()
    try:
        context = multiprocessing.get_context("fork")
        for _ in range(5):
            queue = context.Queue()
            child = context.Process(target=_child, args=(queue,))
            child.start()
            assert queue.get(timeout=HANGS)[0]
            child.join(timeout=HANGS)
            assert child.exitcode == 0
    finally:
        stop.set()
        runner.join()


def _ask_for_a_library(queue):
    queue.put(build.library(elementwise_kernels, np.dtype(np.float32))["relu"])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_while_another_thread_builds_kernels():
    """The fork waits for what is built: the child's copy of the lock would never be free again."""
    started, done = threading.Event(), threading.Event()

    def work():
        with building:
            started.set()
            done.wait(0.5)

    runner = threading.Thread(target=work)
    runner.start()
    started.wait()
    queue = multiprocessing.get_context("fork").Queue()
    child = multiprocessing.get_context("fork").Process(target=_ask_for_a_library, args=(queue,))
    child.start()
    done.set()
    runner.join()
    assert queue.get(timeout=HANGS)
    child.join(timeout=HANGS)
    assert child.exitcode == 0


def test_threads_set_while_a_product_is_planned(monkeypatch):
    """A plan is for the number of threads that there was when it was begun; no later product takes it."""
    a, before, original = np.ones((301, 299), np.float32), get_num_threads(), plan._route

    def route(problem):
        set_num_threads(1)
        return original(problem)

    set_num_threads(2)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(plan, "_route", route)
            ops.matmul(a, a.T)
        numbers = []
        monkeypatch.setattr(product, "run", lambda prepared, *_: numbers.append(prepared.threads) or True)
        ops.matmul(a, a.T)
        assert numbers == [1]
    finally:
        set_num_threads(before)


def test_process_ends_cleanly_with_workers_awake():
    code = (
        "import numpy as np\n"
        "from tinytorch.core.kernels import parallel_relu\n"
        "x = np.ones(400000, np.float32)\n"
        "for _ in range(50): parallel_relu(x)\n"
    )
    environment = {**os.environ, "TINYTORCH_NUM_THREADS": "4"}
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, timeout=HANGS, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_stopped_pool_still_computes():
    own = pool.Pool()
    own.ready(3)
    workers = list(own._threads)
    assert len(workers) == 2
    own.stop()
    for thread in workers:
        thread.join(HANGS)
    assert not any(thread.is_alive() for thread in workers)
    own.ready(3)
    assert own._threads == []


def test_a_system_without_more_threads(monkeypatch):
    own, begin = pool.Pool(), threading.Thread.start

    def refuse(thread):
        if thread.name == "tinytorch-1":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    own.ready(8)
    assert len(own._threads) == 1
    own.ready(8)
    assert len(own._threads) == 1
    own.stop()


def test_no_references_are_lost():
    counts, owners = np.zeros(8, np.int64), np.zeros(8, np.int64)
    mark[INT](8, counts, owners, threads=2)
    before = sys.getrefcount(counts)
    for _ in range(100):
        mark[INT](8, counts, owners, threads=2)
    gc.collect()
    assert sys.getrefcount(counts) == before


def test_scratch_is_apart_and_kept():
    first = scratch(3, 1001, np.dtype(np.float32))
    assert first.shape[0] == 3
    assert first.shape[1] >= 1001
    assert first.ctypes.data % 64 == 0
    assert first.strides[0] % 64 == 0
    assert np.shares_memory(scratch(2, 10, np.dtype(np.float64)), first)
    other = []
    runner = threading.Thread(target=lambda: other.append(scratch(2, 10, np.dtype(np.float64))))
    runner.start()
    runner.join()
    assert not np.shares_memory(other[0], first)


@pytest.fixture
def unset_threads():
    before = threads._chosen
    threads._chosen = None
    yield
    threads._chosen = before


@pytest.mark.usefixtures("unset_threads")
def test_default_number_of_threads(monkeypatch):
    monkeypatch.delenv("TINYTORCH_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "usable_cpus", lambda: 7)
    assert get_num_threads() == 7
    set_num_threads(3)
    assert get_num_threads() == 3


@pytest.mark.usefixtures("unset_threads")
def test_number_of_threads_from_the_environment(monkeypatch):
    monkeypatch.setenv("TINYTORCH_NUM_THREADS", "5")
    assert get_num_threads() == 5


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", " "])
@pytest.mark.usefixtures("unset_threads")
def test_bad_environment(monkeypatch, text):
    monkeypatch.setenv("TINYTORCH_NUM_THREADS", text)
    with pytest.raises(ValueError, match="TINYTORCH_NUM_THREADS must be a whole number"):
        get_num_threads()


@pytest.mark.parametrize(
    ("number", "error"),
    [(0, ValueError), (-2, ValueError), (1.0, TypeError), ("1", TypeError), (True, TypeError)],
)
def test_bad_set_num_threads(number, error):
    before = get_num_threads()
    with pytest.raises(error, match="n must be"):
        set_num_threads(number)
    assert get_num_threads() == before
