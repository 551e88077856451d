"""Functions that checks pass to a learner's code, or time it against: the same in every process."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np


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


def soiled(nbytes: int) -> None:
    """Leave NaN in freed memory, where an np.empty of so many bytes may come to lie."""
    words = max(1, nbytes // 8)
    arrays = [np.full(words, np.nan) for _ in range(16)]
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
