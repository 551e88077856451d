"""The libraries that are compared, one file each: its names for the operations, its ways to be called.

A file has `start(threads)`, called once in a process of its own, and `make(case, arrays)`, which does what
can be done ahead and returns the calls to time by name. To add a library, write its file and a line here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T")

OURS = "tinytorch"
#: Every library, ours first, and the distributions whose versions are told.
LIBRARIES: dict[str, tuple[str, ...]] = {
    OURS: ("tinytorch-kernels", "numba", "llvmlite"),
    "numpy": ("numpy",),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino",),
    "jax": ("jax", "jaxlib"),
    "numkong": ("numkong",),
}


@dataclass(frozen=True)
class Contender:
    """One way of one library to compute a case."""

    call: Callable[[], Any]
    returns: bool = False  # the result is what the call returns, rather than in `arrays.out`
    #: What its time is for: "compared"; "shown", beside the others but in no ratio; "copy", the bandwidth.
    role: str = "compared"


class NotOfferedError(Exception):
    """The library has no such operation, or none that is the same: the message says why."""


class Kept(Generic[T]):
    """What is made of a weight ahead, kept for the next case, which often has the same weight.

    >>> twice = Kept(lambda weight: weight * 2)
    >>> twice(weight := np.ones(3)) is twice(weight)
    True
    """

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._made: tuple[Array, T] | None = None

    def __call__(self, weight: Array, *others: Any) -> T:
        """Return what was made of this very array, or make it; `others` only go into the making."""
        if self._made is None or self._made[0] is not weight:
            self._made = None  # two of the largest are not kept
            self._made = weight, self._make(weight, *others)
        return self._made[1]


def not_offered(operation: str, dtype: str) -> NotOfferedError:
    """Return the error for an operation that a library has no word for."""
    return NotOfferedError(f"no {operation} in {dtype}")
