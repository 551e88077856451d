"""The cost of a call: what our kernels in it declared, what NumPy did around them, or what counting finds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinytorch.measure.counting import hardware
from tinytorch.measure.counting.choose import bytes_in_and_out, what_it_does
from tinytorch.measure.counting.count import Count, Tally, main_dtype
from tinytorch.measure.counting.numpy_counter import count_numpy
from tinytorch.measure.counting.source_counter import SourceCount, count_source
from tinytorch.measure.counting.torch_counter import involves_torch
from tinytorch.measure.inputs import Function
from tinytorch.ops.watching import watching
from tinytorch.runtime.arrays import DType
from tinytorch.runtime.cost import Cost


def cost_of(
    func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any], stated: Cost | None, dtype: DType | None
) -> tuple[Count, SourceCount | None]:
    """Return what a call does, and what its source tells if it is a kernel of numba."""
    source = count_source(func, args, dict(kwargs)) if stated is None else None
    if source is not None and source.count is not None and hardware.available() is not None:
        return source.count if dtype is None else replace(source.count, dtype=dtype), source
    if source is not None and hardware.available() is not None:
        # Compiled code sees no arrays that count; what it was given and returned is all that is known.
        return bytes_in_and_out(args, kwargs, func(*args, **kwargs)), source
    return what_it_does(func, args, kwargs, stated=stated, dtype=dtype, declared=declared), source


def declared(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Count | None:
    """Return the declared costs of our kernels in a call, and what NumPy does around them; None without."""
    if involves_torch(func, args, kwargs):
        return None  # torch counts our operators with its own
    # Alone first: to count under watch takes seven times as long, which a loop over numbers would feel.
    with watching() as seen:
        func(*args, **kwargs)
    if not seen:
        return None
    with watching() as seen:
        try:
            around, _ = count_numpy(func, args, kwargs)
        except Exception:
            # The arrays that count are not quite ndarrays. If it is the function that fails, it fails again.
            seen.clear()
            around = None
            func(*args, **kwargs)
    if not seen:  # it does something else each time
        return None
    tally = Tally()
    for work in seen:
        cost = work.cost
        tally.add(work.operation, work.dtype, cost.operations, cost.read, cost.written)
    count = tally.count("declared")
    if around is None:
        return count
    details = (*count.details, *around.details)
    return Count(
        sum(entry.operations for entry in details),
        sum(entry.read for entry in details),
        sum(entry.written for entry in details),
        main_dtype(list(details)),
        "declared",
        details,
        around.uncounted,
        "with the NumPy operations around our kernels",
    )
