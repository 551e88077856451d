"""What one NumPy call did, and what its arguments and results say of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinytorch.measure.counting.count import DType
from tinytorch.measure.counting.memory import blocks_in, distinct

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What one call did; `known` is false where its operations depend on more than shapes."""

    operations: int = 0
    read: int = 0
    written: int = 0
    dtype: DType | None = None
    known: bool = True


Rule: TypeAlias = Callable[[Args, Kwargs, Any], Work]


def inputs_of(args: Args, kwargs: Kwargs) -> list[Any]:
    """Return all arguments but the array for the result."""
    return [*args, *(value for name, value in kwargs.items() if name != "out")]


def size(value: Any) -> int:
    """Return the number of elements; 1 for a scalar."""
    return int(np.size(value))


def touched(values: Any) -> int:
    """Return the bytes under arrays, also in lists and tuples, each once."""
    return distinct(blocks_in(values))


def made(values: Any) -> int:
    """Return the bytes of results: those under arrays, and NumPy scalars."""
    return touched(values) + sum(scalar.itemsize for scalar in _scalars(values))


def _scalars(values: Any) -> Iterable[np.generic]:
    if isinstance(values, np.generic):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _scalars(value)


def dtype_of(*values: Any) -> DType | None:
    """Return the dtype of the first array or scalar found."""
    for value in values:
        if isinstance(value, np.ndarray | np.generic):
            return value.dtype
        if isinstance(value, list | tuple) and (found := dtype_of(*value)) is not None:
            return found
    return None
