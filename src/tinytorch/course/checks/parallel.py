"""Step 4: work shared among threads. That they run at once is told by threads that wait for each other."""

import operator
import re
from typing import Any

import numpy as np

from tinytorch.course import probes
from tinytorch.course.checks import by_hand, comparing
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Mine, Probe, Subject, WrongError
from tinytorch.machine.quota import usable_cpus

#: Elements of an input whose halves take milliseconds: a pool has both of its threads by then.
_MANY = 1 << 23
#: The busiest thread's part of the work of two. Halves come to 0.5, on a busy machine now and then to 0.7;
#: one worker that does all comes to 0.9, the rest being the caller's.
_ALONE = 0.75


@exercise(step=4, points=3)
def split(learner: Subject, rng: np.random.Generator) -> None:
    """A range cut into even parts, one for each worker."""
    drawn = [(int(rng.integers(50, 1000)), int(rng.integers(2, 12))) for _ in range(12)]
    for n, workers in ((12, 4), (10, 4), (11, 4), *drawn, (7, 1), (8, 8), (3, 8), (1, 4), (0, 4)):
        what = f"split({n}, {workers})"
        _ranges(what, comparing.called(learner, what, "split", n, workers), n, workers)


_STOP = "As with slices, `stop` is not in the range: it is where the next range starts."


def _ranges(what: str, found: Any, n: int, workers: int) -> None:
    """Require ranges that cover 0 to n in order, none empty, as even as can be."""
    try:
        found = [(operator.index(start), operator.index(stop)) for start, stop in found]
    except (TypeError, ValueError):
        raise WrongError(
            f"{what} returned {str(found)[:80]}, not a list of pairs of integers (start, stop)",
            "Return a list; of each worker a tuple: its first element, and the one after its last.",
        ) from None
    told = f"{what} is {str(found)[:100]}"
    if any(start >= stop for start, stop in found):
        raise WrongError(
            f"{told}: there is an empty range in it",
            "With fewer elements than workers, a range each for as many workers as have something to do.",
        )
    reached = 0
    for start, stop in found:
        if start < reached:
            raise WrongError(
                f"{told}: element {start} is in two ranges",
                _STOP,
            )
        if start > reached:
            raise WrongError(f"{told}: element {reached} is in no range", _STOP)
        reached = stop
    if reached < n:
        raise WrongError(
            f"{told}: the last {n - reached} of {n} elements are in no range",
            "n // workers leaves a remainder. Which ranges are to be one longer?",
        )
    if reached > n:
        raise WrongError(f"{told}: there are only {n} elements", "No stop lies beyond n.")
    lengths = [stop - start for start, stop in found]
    if len(found) != min(n, workers):
        raise WrongError(
            f"{told}: {len(found)} ranges, should be {min(n, workers)}",
            "A range for each worker, so that each has something to do.",
        )
    if max(lengths, default=0) - min(lengths, default=0) > 1:
        raise WrongError(
            f"{told}: lengths from {min(lengths)} to {max(lengths)}",
            "All wait for the longest. Give each of the first ranges one element of the remainder.",
        )


@exercise(step=4, points=6)
def parallel_relu(learner: Subject, rng: np.random.Generator) -> None:
    """ReLU on several threads."""
    size = 8 * int(rng.integers(100, 200))
    for n, workers in ((size, 4), (size + 3, 4), (size + 5, 7), (3, 8), (1, 2), (0, 4), (size + 1, 1)):
        x = rng.standard_normal(n).astype(np.float32)
        _relu(learner, f"parallel_relu of {n} values, num_workers={workers}", x, num_workers=workers)
    _relu(learner, "parallel_relu(x)", rng.standard_normal((37, 5)))
    _relu(learner, "parallel_relu of a transposed x", rng.standard_normal((37, 5)).astype(np.float32).T, 3)
    _relu(learner, "parallel_relu of every second column", rng.standard_normal((9, 20))[:, ::2], 2)
    with_nan = rng.standard_normal(100).astype(np.float32)
    with_nan[[0, 50, 99]] = np.nan
    _relu(learner, "parallel_relu with NaN in x", with_nan, 2, hint="Ask `x < 0`, so that NaN stays.")
    by_hand.loops(learner, "parallel_relu", also=by_hand.RELUS)
    _shared(learner, rng.standard_normal(_MANY, np.float32))


def _relu(learner: Subject, what: str, x: np.ndarray, *workers: int, hint: str = "", **kwargs: int) -> None:
    found = comparing.called(learner, what, "parallel_relu", x, *workers, **kwargs)
    comparing.equal(
        what,
        found,
        np.maximum(x, 0),
        hint or "Every element is in one worker's range; the result is new, of x's shape and dtype.",
    )


#: What numba is told so that a kernel lets go of the GIL, and what begins threads of Python's.
_LETS_GO = {"nogil=True", "parallel=True", "target=parallel"}
_THREADS = {"ThreadPoolExecutor", "Thread", "ThreadPool"}


def _shared(learner: Subject, x: np.ndarray) -> None:
    """Require that two workers share the work, and that both may run at once."""
    used = learner.uses("parallel_relu")
    if not used & _LETS_GO and _THREADS & {name.rpartition(".")[2] for name in used}:
        _lets_go(learner, x)  # first: threads that wait for the GIL also look like one
    if usable_cpus() > 1:  # on one, a runtime may well leave all to one thread
        busiest = 1.0
        for _ in range(5):  # the machine may hold a thread up, but not every time
            busiest = min(busiest, learner.busiest("parallel_relu", x, 2, seconds=0.4))
            if busiest < _ALONE:
                break
        else:
            raise WrongError(
                f"with two workers, one thread does {busiest:.0%} of the work",
                "Give each worker a range of its own, and only that one to go through. And let all begin "
                "before you wait for any: threads that run one after the other count as one.",
            )
    if not used & _LETS_GO:  # a text that says so is believed: to see it takes a CPU for the one that looks
        _lets_go(learner, x)


def _lets_go(learner: Subject, x: np.ndarray) -> None:
    hold = learner.call(Probe("hold_of_gil"), Mine("parallel_relu"), x, 2)
    if hold >= probes.LONG_HOLD:
        raise WrongError(
            f"the threads take turns: one holds the GIL for {hold:.0%} of the work without letting go",
            "A compiled loop keeps the GIL unless you tell numba otherwise: look at @njit's options.",
        )


@exercise(step=4, points=6)
def parallel_batch_processing(learner: Subject, rng: np.random.Generator) -> None:
    """A batch of items processed by several threads, in order."""
    name = "parallel_batch_processing"
    workers = int(rng.integers(2, 5))
    items = [1000 + int(item) for item in rng.permutation(500)[: 3 * workers]]
    _in_order(f"{name}(items, operation)", learner.call(name, items, Probe("failing_at", (None, ""))), items)
    for few in ([], items[:1]):
        _in_order(
            f"{name} of {len(few)} items", learner.call(name, few, Probe("failing_at", (None, ""))), few
        )
    met = learner.call(name, items, Probe("meeting", (workers,)), num_workers=workers)
    if isinstance(met, list) and any(one is None for one in met):
        raise WrongError(
            f"with num_workers={workers}, {workers} items are never worked on at the same time",
            "Hand in all items before you wait for any result: a result waited for in the loop that hands in "
            "lets nothing else begin.",
        )
    _in_order(f"{name} of items that wait for each other", met, items)
    _at_most(learner, name, items)
    late = Probe("last_first", (items[0], items[-1]))
    found = learner.call(name, items, late, num_workers=workers)
    _in_order(f"{name} of items of which the first is done last", found, [2 * item for item in items])
    _error(learner, name, items, int(rng.integers(1, len(items))), workers)


def _in_order(what: str, found: Any, expected: list[int]) -> None:
    if not isinstance(found, list):
        raise WrongError(f"{what} returned {found!r:.80}, not a list", "Return a list of the results.")
    if len(found) != len(expected):
        raise WrongError(
            f"{what} returned {len(found)} results for {len(expected)} items",
            "A result for each item, whatever num_workers is.",
        )
    if not any(isinstance(one, np.ndarray | list | tuple | dict) for one in found) and found == expected:
        return
    if sorted(map(str, found)) == sorted(map(str, expected)):
        raise WrongError(
            f"{what}: all results are there, but not in the order of the items",
            "Results come in as they are done, which is another order: keep the futures in a list, in the "
            "items' order, and ask each in turn.",
        )
    place = next(
        place
        for place, (a, b) in enumerate(zip(found, expected, strict=True))
        if isinstance(a, np.ndarray | list | tuple | dict) or a != b
    )
    raise WrongError(
        f"{what}: result {place} is {comparing.told(found[place])}, should be {expected[place]!r}",
        "A Future is a promise of a result; its result() is what the operation returned.",
    )


def _at_most(learner: Subject, name: str, items: list[int]) -> None:
    """Require no more threads than asked for: one, then two."""
    for workers in (1, 2):
        crowd = learner.call(name, items, Probe("crowd", (0.02,)), num_workers=workers)
        if isinstance(crowd, list) and all(isinstance(one, int) for one in crowd) and max(crowd) > workers:
            raise WrongError(
                f"with num_workers={workers}, {max(crowd)} items were worked on at once",
                "num_workers is the size of the pool.",
            )


def _error(learner: Subject, name: str, items: list[int], place: int, workers: int) -> None:
    """Require an error that names the item's index, with the original as cause."""
    operation = Probe("failing_at", (items[place], "no such thing"))
    found = learner.call(Probe("caught"), Mine(name), items, operation, num_workers=workers)
    if not isinstance(found, dict):
        raise WrongError(f"what {name} raised did not come back")
    if "result" in found:
        raise WrongError(
            f"item {place} raised, and {name} returned as if nothing had happened",
            "An error that is swallowed turns up later as a wrong result. Let it out.",
        )
    message, raised = str(found.get("message")), str(next(iter(found.get("raised") or ()), ""))
    if not re.search(rf"(?<!\d){place}(?!\d)", message):
        raise WrongError(
            f"item {place} raised, and the error, {raised}: {message!r:.80}, does not name index {place}",
            "Of a thousand items, which one was it? Catch what an item raises where you know its index, and "
            "raise an error that tells it.",
        )
    if "LookupError" not in (found.get("cause") or ()):
        raise WrongError(
            f"the error that names index {place} does not have the item's own error as its cause",
            "`raise ... from error` keeps what really happened for the traceback.",
        )
