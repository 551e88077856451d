"""Finds out what a call does by the best means there is, and says which it was.

In this order: the cost that the caller states; what the layer above has declared for a kernel of ours;
hardware counters; the operations that NumPy or torch run; where none sees anything, its bytes in and out.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from tinytorch.measure.counting import hardware
from tinytorch.measure.counting.count import Count, DType
from tinytorch.measure.counting.memory import blocks_in, distinct
from tinytorch.measure.counting.numpy_counter import count_numpy
from tinytorch.measure.counting.torch_counter import count_torch, involves_torch
from tinytorch.runtime.cost import Cost

#: Asked with a function and its arguments; None for a function that it does not know.
Declared: TypeAlias = Callable[[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Count | None]


def what_it_does(
    func: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    stated: Cost | None = None,
    dtype: Any = None,
    declared: Declared | None = None,
) -> Count:
    """Return what one call does: operations, bytes read and written.

    Unless a cost is stated or declared the function is called: more than once with hardware counters, and
    where counting fails. `dtype` is the one its operations are in, where the caller knows. What the function
    raises is raised.

    >>> what_it_does(np.dot, (np.ones(4), np.ones(4))).operations
    8
    """
    named = dict(kwargs or {})
    known: DType | None = None if dtype is None else np.dtype(dtype)
    if stated is not None:
        return Count(stated.operations, stated.read, stated.written, known, "stated")
    count = declared(func, args, named) if declared is not None else None
    if count is None:
        count = _observed(func, args, named)
    return count if known is None else replace(count, dtype=known)


def _observed(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    notes = []
    reason = hardware.available()
    counted: Count | None = None
    if reason is None and not _on_gpu(args, kwargs):
        try:
            counted, _ = hardware.count_hardware(func, args, kwargs)
        except OSError as error:
            notes.append(f"hardware counters failed ({error.strerror})")
        else:
            if not counted.operations:
                notes.append("hardware counters saw no floating-point operation")
                counted = None
    counter = count_torch if involves_torch(func, args, kwargs) else count_numpy
    try:
        seen, result = counter(func, args, kwargs)
    except Exception as error:
        # The arrays that count are not quite ndarrays. If it is the function that fails, it fails again here.
        result = func(*args, **kwargs)
        notes.append(
            f"counting its operations raised {type(error).__name__}, which the function alone does not"
        )
        seen = None
    if seen is None:
        seen = _in_and_out(func, args, kwargs, result, notes)
    else:
        seen = replace(seen, note="; ".join(filter(None, (*notes, seen.note))))
    return seen if counted is None else _with_counters(counted, seen)


def _with_counters(counted: Count, seen: Count) -> Count:
    """Take the operations from the CPU's counters, and the bytes from what was seen of the arrays.

    A counter tells of bytes that miss the last cache; the roofs are of bytes as the core asks for them.
    """
    moves = tuple(replace(entry, operations=0) for entry in seen.details)
    return replace(counted, read=seen.read, written=seen.written, details=(*counted.details, *moves))


def _on_gpu(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    values = (*args, *kwargs.values())
    return any(hasattr(value, "__cuda_array_interface__") for value in values)


def bytes_in_and_out(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Count:
    """Count the bytes under the arrays of the arguments and of the result, each once.

    >>> x = np.zeros(10, np.float32)
    >>> bytes_in_and_out((x, [x[:5]]), {}, x + 1).cost.bytes
    80
    """
    return _in_and_out(None, args, kwargs, result, [])


def _in_and_out(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, notes: list[str]
) -> Count:
    own = getattr(func, "__self__", func)  # a module or a bound method brings its weights along
    given, made = set(blocks_in([args, kwargs, own])), set(blocks_in(result))
    note = "operations are not known: none was seen"
    return Count(
        0, distinct(given), distinct(made - given), None, "bytes in and out", note="; ".join([*notes, note])
    )
