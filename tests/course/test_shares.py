"""Which thread does the work, and whether it holds the GIL meanwhile: told of kernels made to do so."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numba import njit

from tinytorch.course import probes, shares

#: Numbers of steps of a computation that takes some 20 ms, in which no memory is touched.
STEPS = 5_000_000
#: A busy machine may hold one of two threads up: the least of some tries counts, as in the checks.
TRIES = 5


def _orbit(steps: int) -> float:
    x = 0.3
    for _ in range(steps):
        x = 3.9 * x * (1 - x)
    return x


free, held = njit(_orbit, nogil=True), njit(_orbit)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile before anything is looked at."""
    free(1), held(1)


def in_pool(work: Callable[[int], Any], parts: list[int]) -> Callable[[], None]:
    """Return a call that makes a pool of two threads for these parts of the work, and ends it."""

    def call() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, parts))

    return call


def least_busiest(call: Callable[[], Any]) -> float:
    return min(shares.busiest(call, 0.2) for _ in range(TRIES))


def test_the_caller_does_all() -> None:
    assert shares.busiest(lambda: free(STEPS), 0.1) > 0.9


def test_two_threads_of_a_pool_that_ends_do_half_each() -> None:
    assert least_busiest(in_pool(free, [STEPS, STEPS])) < 0.7


def test_one_thread_of_each_pool_does_all() -> None:
    """Another thread in each call, and none that lives long: together they are one."""
    assert least_busiest(in_pool(free, [STEPS])) > 0.8


def test_a_third_of_the_work_is_seen_as_such() -> None:
    assert 0.6 < least_busiest(in_pool(free, [STEPS, 3 * STEPS])) < 0.85


def test_threads_that_run_one_after_the_other_are_one() -> None:
    def call() -> None:
        for _ in range(2):
            thread = threading.Thread(target=free, args=(STEPS,))
            thread.start()
            thread.join()

    assert shares.busiest(call, 0.2) > 0.9


def test_threads_that_are_all_begun_before_any_is_waited_for_are_two() -> None:
    def call() -> None:
        threads = [threading.Thread(target=free, args=(STEPS,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert least_busiest(call) < 0.7


def test_threads_that_live_on_are_seen() -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(free, [STEPS, STEPS]))  # both threads are there
        assert least_busiest(lambda: list(pool.map(free, [STEPS, STEPS]))) < 0.75
        assert least_busiest(lambda: pool.submit(free, STEPS).result()) > 0.45


def test_what_a_call_raises_comes_out_and_no_hook_stays() -> None:
    before = threading.getprofile()
    with pytest.raises(ZeroDivisionError):
        shares.busiest(lambda: 1 // 0, 0.1)
    assert threading.getprofile() is before


def test_a_kernel_that_holds_the_gil_is_told_from_one_that_does_not() -> None:
    assert min(shares.longest_hold(in_pool(held, [STEPS, STEPS])) for _ in range(TRIES)) > 0.3
    end = time.monotonic() + 120  # on a busy machine the one that looks may get no CPU for long
    while shares.longest_hold(in_pool(free, [STEPS, STEPS])) >= probes.LONG_HOLD:
        assert time.monotonic() < end


def test_hold_of_gil_ends_with_the_first_call_that_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    holds = iter([0.9, 0.7, 0.1, 0.0])
    monkeypatch.setattr(shares, "longest_hold", lambda call: next(holds))
    assert probes.hold_of_gil(free, STEPS) == 0.1
    monkeypatch.setattr(shares, "longest_hold", lambda call: 0.9)
    assert probes.hold_of_gil(free, STEPS) == 0.9


def test_a_call_that_raises_ends_the_asking_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        shares.longest_hold(lambda: 1 // 0)
    assert threading.active_count() == before


def test_nothing_used_is_one() -> None:
    assert shares.busiest(lambda: np.float64(0), 0.0) <= 1
