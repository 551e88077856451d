"""What the calls of a sample are given: the same arrays every time, copies, or arrays that no cache holds."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from tinytorch.machine.caches import UNKNOWN_CACHE, caches
from tinytorch.machine.quota import available_memory
from tinytorch.measure.agreement import difference
from tinytorch.measure.copies import duplicate

Function: TypeAlias = Callable[..., Any]
Call: TypeAlias = tuple[Function, tuple[Any, ...], dict[str, Any]]
Inputs: TypeAlias = Literal["same", "fresh", "rotated"]
#: Bytes of copies for one sample.
_FRESH_BYTES = 32 << 20
#: Copies that inputs are rotated among at most: of smaller ones Python's own objects would fill the caches.
_MOST_COPIES = 100_000


def beyond_cache() -> int:
    """Return how many bytes push everything else out of the caches: twice the last one, if memory allows."""
    largest = max((size for size in caches().values() if size), default=UNKNOWN_CACHE)
    return min(2 * largest, available_memory() // 8)


def flush() -> None:
    """Empty the caches of what is in them, by writing to memory that is none of it."""
    np.empty(beyond_cache(), np.uint8).fill(1)


class Supply:
    """Gives the calls their arguments: what a sample goes through."""

    def __init__(self, how: Inputs, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if how not in ("same", "fresh", "rotated"):
            raise ValueError(f'inputs must be "same", "fresh" or "rotated", not {how!r}')
        self._how = how
        self._given = (args, dict(kwargs))
        self._bytes = max(1, sum(nbytes(value) for value in (*args, *kwargs.values())))
        self._ring: Iterator[Any] = iter(())
        if how == "rotated":
            copies = max(2, -(-beyond_cache() // self._bytes))
            if copies > _MOST_COPIES:
                raise ValueError(
                    f"{self._bytes} bytes of arrays would be copied {copies} times to be more than a cache "
                    "holds: take larger ones, or flushed=True"
                )
            self._ring = itertools.cycle([self._copy() for _ in range(copies)])

    @property
    def most(self) -> int | None:
        """How many calls a sample may have; None for as many as it likes."""
        return max(1, _FRESH_BYTES // self._bytes) if self._how == "fresh" else None

    @property
    def fresh(self) -> bool:
        """Whether each call has copies of its own, which tell what it did to them."""
        return self._how == "fresh"

    def calls(self, function: Function, calls: int) -> Iterable[Call]:
        """Return so many calls of a function; copies are made here, before the clock runs."""
        if self._how == "same":
            return itertools.repeat((function, *self._given), calls)
        if self._how == "fresh":
            return [(function, *self._copy()) for _ in range(calls)]
        return [(function, *given) for given in itertools.islice(self._ring, calls)]

    def _copy(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = duplicate(self._given)
        return args, kwargs


def nbytes(value: Any) -> int:
    """Return the bytes of all arrays in an argument."""
    if isinstance(value, Mapping):
        return sum(map(nbytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(nbytes, value))
    return int(getattr(value, "nbytes", 0) or 0)


def leaves(values: Iterable[Any]) -> Iterator[Any]:
    """Yield what is in arguments, lists and mappings opened."""
    for value in values:
        if isinstance(value, Mapping):
            yield from leaves(value.values())
        elif isinstance(value, list | tuple):
            yield from leaves(value)
        else:
            yield value


def same_arrays(values: Iterable[Any], before: Iterable[Any]) -> bool:
    """Say whether the arrays in arguments hold, bit by bit, what they held.

    >>> same_arrays([np.zeros(2)], [np.zeros(2)])
    True
    """
    pairs = zip(leaves(values), leaves(before), strict=False)
    return all(_equal(a, b) for a, b in pairs if hasattr(a, "__array__") or hasattr(a, "detach"))


def _equal(a: Any, b: Any) -> bool:
    if hasattr(a, "detach"):
        return difference(a, b, 0.0) is None
    return a.shape == b.shape and bool(np.asarray(a).tobytes() == np.asarray(b).tobytes())
