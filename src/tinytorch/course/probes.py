"""Functions that checks pass to a learner's code, or time it against: the same in every process."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch.course import shares
from tinytorch.course.subject import kinds

#: Part of a call's CPU time below which a kernel lets go of the GIL. One that holds it does so for half of it
#: with two workers; one that does not comes to a tenth in some call even where six processes want one CPU.
LONG_HOLD = 0.4
#: Seconds that threads wait for each other: those of a pool are there in milliseconds.
PATIENCE = 5.0


def relu_in_python(x: np.ndarray) -> np.ndarray:
    """Return max(0, x) by a loop of the interpreter: a yardstick."""
    result = np.empty(x.size, x.dtype)
    for place, value in enumerate(x.ravel().tolist()):
        result[place] = 0 if value < 0 else value
    return result.reshape(x.shape)


def sleeping(seconds: float) -> Callable[..., Any]:
    """Return a function that sleeps for so long and returns what it was given first."""

    def sleep(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return args[0] if args else None

    return sleep


def echo(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what it was called with."""
    return {"args": list(args), "kwargs": kwargs}


def counting() -> Callable[..., int]:
    """Return a function that returns how often it has been called."""
    calls = 0

    def count(*args: Any, **kwargs: Any) -> int:
        nonlocal calls
        calls += 1
        return calls

    return count


def failing(*args: Any, **kwargs: Any) -> None:
    """Raise ArithmeticError, whatever it is called with."""
    raise ArithmeticError("a probe that fails")


def generator(seed: int) -> np.random.Generator:
    """Return a generator of random numbers."""
    return np.random.default_rng(seed)


_between: list[np.ndarray] = []


def soiled(nbytes: int) -> None:
    """Leave NaN in freed memory, where an np.empty of so many bytes may come to lie."""
    arrays = [np.full(max(1, -(-nbytes // 8)), np.nan) for _ in range(64)]
    _between[:] = arrays[::2]  # kept, so that what is freed between them does not grow together
    arrays.clear()


def product_in_python(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return A @ B by three loops of the interpreter: a yardstick."""
    rows, columns = A.tolist(), B.T.tolist()
    sums = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in rows]
    return np.array(sums, A.dtype)


def chase_in_python(successor: np.ndarray, steps: int) -> int:
    """Follow successors from 0 by a loop of the interpreter: a yardstick."""
    place, places = 0, successor.tolist()
    for _ in range(steps):
        place = places[place]
    return place


def unsteady_product(best: int) -> Callable[..., np.ndarray]:
    """Return a product that takes 2 ms with blocks of `best`, else 6 ms.

    As a real one it is slow when first called with a block size, and now and then something comes between.
    """
    calls: dict[int, int] = {}

    def product(A: np.ndarray, B: np.ndarray, block_size: int) -> np.ndarray:
        number = calls[block_size] = calls.get(block_size, 0) + 1
        disturbed = block_size == best and (number == 1 or number % 5 == 4)
        time.sleep(0.05 if disturbed else 0.002 if block_size == best else 0.006)
        return A @ B

    return product


def hold_of_gil(function: Callable[..., Any], *args: Any) -> float:
    """Return the largest part of a call's CPU time in which the GIL was held; the least of up to 45 calls."""
    least = 1.0
    for _ in range(45):
        least = min(least, shares.longest_hold(lambda: function(*args)))
        if least < LONG_HOLD:
            break
    return least


def meeting(count: int) -> Callable[[Any], Any]:
    """Return a function that returns its argument once `count` threads are in it; None if they never are."""
    barrier = threading.Barrier(count)

    def meet(item: Any) -> Any:
        try:
            barrier.wait(PATIENCE)
        except threading.BrokenBarrierError:
            return None
        return item

    return meet


def crowd(seconds: float) -> Callable[[Any], int]:
    """Return a function that takes so long, and returns how many threads were in it when it began."""
    lock, inside = threading.Lock(), 0

    def enter(item: Any) -> int:
        nonlocal inside
        with lock:
            inside += 1
            found = inside
        time.sleep(seconds)
        with lock:
            inside -= 1
        return found

    return enter


def last_first(first: Any, last: Any) -> Callable[[Any], Any]:
    """Return a function that returns twice its argument: for `first` only after `last` is done."""
    done = threading.Event()

    def double(item: Any) -> Any:
        if item == first:
            done.wait(PATIENCE)
            time.sleep(0.05)  # for the other result to arrive
        if item == last:
            done.set()
        return 2 * item

    return double


def failing_at(wrong: Any, text: str) -> Callable[[Any], Any]:
    """Return a function that raises LookupError for one argument, and returns any other."""

    def operation(item: Any) -> Any:
        if item == wrong:
            raise LookupError(text)
        return item

    return operation


def caught(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Call a function; return its result, or the classes and texts of what it raised and of the cause."""
    try:
        return {"result": function(*args, **kwargs)}
    except NotImplementedError:
        raise
    except Exception as error:  # whatever a learner's code may raise
        return {"raised": _kinds(error), "message": str(error), "cause": _kinds(error.__cause__)}


def _kinds(error: BaseException | None) -> list[str]:
    return [] if error is None else list(kinds(error))


def watched(function: Callable[..., Any], seconds: list[float], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Give a function one that sleeps so long in its calls, in turn, and the arguments.

    Returns the result, how long each of those calls took, seen from inside, and what they were given.
    """
    inside: list[float] = []
    given: list[Any] = []

    def slow(*args: Any, **kwargs: Any) -> None:
        start = time.perf_counter()
        given.append(kwargs or list(args))
        time.sleep(seconds[len(inside) % len(seconds)])
        inside.append(time.perf_counter() - start)

    return {"result": function(slow, *args, **kwargs), "inside": inside, "given": given}


def watched_together(
    function: Callable[..., Any], seconds: dict[str, float], *args: Any, **kwargs: Any
) -> dict[str, Any]:
    """Give a function a dict of ones that sleep so long, by name, and the arguments.

    Returns the result, the names in the order of the calls, how long each took, and what they were given.
    """
    names: list[str] = []
    inside: list[float] = []
    given: list[Any] = []

    def named(name: str) -> Callable[..., None]:
        def slow(*args: Any, **kwargs: Any) -> None:
            start = time.perf_counter()
            names.append(name)
            given.append(kwargs or list(args))
            time.sleep(seconds[name])
            inside.append(time.perf_counter() - start)

        return slow

    result = function({name: named(name) for name in seconds}, *args, **kwargs)
    return {"result": result, "names": names, "inside": inside, "given": given}


def each(function: Callable[..., Any], calls: list[Any]) -> list[Any]:
    """Return what a function returns for each list of arguments."""
    return [function(*args) for args in calls]
