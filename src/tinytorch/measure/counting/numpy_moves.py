"""Rules of NumPy's functions that move elements, select or sort them: bytes, and no operations."""

from dataclasses import replace
from typing import Any

import numpy as np

from tinytorch.measure.counting.memory import blocks_in
from tinytorch.measure.counting.numpy_work import (
    Args,
    Kwargs,
    Work,
    dtype_of,
    inputs_of,
    made,
    size,
    touched,
)


def move(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """Elements go from the arguments to the result as they are; none if the result is a view of them."""
    given = inputs_of(args, kwargs)
    results = list(blocks_in(result))
    owned = {block.bounds for block in blocks_in(given)}
    if results and all(any(_within(block.bounds, bounds) for bounds in owned) for block in results):
        return Work()
    return Work(0, touched(given), made(result), dtype_of(result, given))


def _within(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def gather(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """Some elements of the first argument go to the result; the other arguments say which."""
    moved = move(args, kwargs, result)
    if not moved.written:
        return moved
    rest = touched(inputs_of(args[1:], kwargs))
    return replace(moved, read=min(touched(args[:1]), made(result)) + rest)


def nothing(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """Elements are neither read nor written."""
    return Work()


def unknown(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """What is done depends on the data; what is moved does not."""
    moved = move(args, kwargs, result)
    return replace(moved, read=touched([*args, *kwargs.values()]), known=False)


def in_place(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """The first argument is rearranged where it is, in a way that depends on the data."""
    both = touched(args[:1])
    return Work(0, both, both, dtype_of(args), known=False)


def store(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """All of the first argument is overwritten with the others, or what a mask selects of it."""
    target, *values = args
    mask: Any = kwargs.get("where", args[3] if len(args) > 3 else True)
    written = touched(target)
    if mask is not True:
        written = min(written, int(np.count_nonzero(np.broadcast_to(mask, target.shape))) * target.itemsize)
    return Work(0, touched([values, list(kwargs.values())]), written, target.dtype)


def select(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """Elements of the first argument that a mask selects are overwritten."""
    target, mask, values = args[0], args[1], args[2]
    written = min(touched(target), int(np.count_nonzero(mask)) * target.itemsize)
    return Work(0, touched([mask, values]), written, target.dtype)


def put(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """Elements of the first argument at some places are overwritten."""
    target, places, values = args[0], args[1], args[2]
    written = min(touched(target), size(places) * target.itemsize)
    return Work(0, touched([places, values]), written, target.dtype)
