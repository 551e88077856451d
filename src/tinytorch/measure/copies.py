"""Copies of a call's arguments that are as the originals are: what overlaps, repeats or lies strided does so.

An array that is given twice is one array in the copies, too; windows over one buffer are windows over one
copy of it; what is read-only stays so.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytorch.measure.counting.memory import block_of

#: Memory that an array spans, by its own bytes, from which only its own are copied: a column of a matrix.
_SPARSE = 4
_LINE = 64


def duplicate(value: Any) -> Any:
    """Return a copy of an argument, or of a tuple, list or mapping of them; itself if it cannot be copied.

    >>> x = np.zeros(3)
    >>> a, b = duplicate((x, x[:2]))
    >>> a[0] = 1
    >>> b, x
    (array([1., 0.]), array([0., 0., 0.]))
    """
    made = dict(_arrays(list(_found(value, set()))))
    return _rebuilt(value, made)


def _found(value: Any, seen: set[int]) -> Iterator[np.ndarray]:
    """Yield the plain arrays in a value, each once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if type(value) is np.ndarray and not value.dtype.hasobject:
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _found(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _found(part, seen)


def _arrays(found: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield copies by the ids of the originals; those that overlap in memory are copied together."""
    group: list[np.ndarray] = []
    end = 0
    for array in sorted(found, key=lambda a: block_of(a).bounds):
        low, high = block_of(array).bounds
        if group and low >= end:
            yield from _together(group)
            group = []
        group.append(array)
        end = max(end, high) if len(group) > 1 else high
    if group:
        yield from _together(group)


def _together(group: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    blocks = [block_of(array) for array in group]
    low = min(block.bounds[0] for block in blocks)
    span = max(block.bounds[1] for block in blocks) - low
    if len(group) == 1 and span > _SPARSE * group[0].nbytes:
        made = [group[0].copy(order="K")]
    else:
        memory = np.empty(span + _LINE, np.uint8)
        skipped = (low - memory.ctypes.data) % _LINE  # lines begin where they did
        made = [
            np.ndarray(array.shape, array.dtype, memory, skipped + block.address - low, array.strides)
            for array, block in zip(group, blocks, strict=True)
        ]
    for array, new in zip(group, made, strict=True):
        new[...] = array
    for array, new in zip(group, made, strict=True):
        new.flags.writeable = array.flags.writeable
        yield id(array), new


def _rebuilt(value: Any, made: dict[int, Any]) -> Any:
    """Return a value with its parts exchanged for their copies; what is met twice is copied once."""
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, dict) and type(value) is dict:
        new: Any = {key: _rebuilt(part, made) for key, part in value.items()}
    elif type(value) in (list, tuple):
        new = type(value)(_rebuilt(part, made) for part in value)
    elif isinstance(value, np.ndarray):
        new = value.copy(order="K")
    elif hasattr(value, "detach") and hasattr(value, "clone"):
        new = value.detach().clone().requires_grad_(value.requires_grad)
    else:
        new = _deep(value)
    made[id(value)] = new
    return new


def _deep(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:
        return value  # a lock, an open file, a graph of tensors: there is only the one
