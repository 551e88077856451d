"""A launch as data: which kernel, how many threads, and arguments that anyone can make again.

The plan goes to the process that launches the kernels and, with the counters, into the recording. An array
is told by how it is filled, never by random numbers, so that the emulator later runs on the same bytes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Array:
    """An array in global memory; `fill` is "zero", "count" (0, 1, 2, … in the dtype) or the values."""

    name: str
    dtype: str  # NumPy's: "u4"
    length: int  # in elements of the dtype
    fill: str | tuple[int, ...] = "zero"
    written: bool = False  # the kernel's result is in it

    def make(self) -> np.ndarray:
        """Return the array as it is before the launch.

        >>> Array("in", "u1", 4, "count").make()
        array([0, 1, 2, 3], dtype=uint8)
        """
        if self.fill == "zero":
            return np.zeros(self.length, self.dtype)
        values = np.arange(self.length) if self.fill == "count" else np.asarray(self.fill)
        if len(values) != self.length:
            raise ValueError(f"{self.name} has {len(values)} values for {self.length} elements")
        return values.astype(self.dtype)


@dataclass(frozen=True)
class Scalar:
    """A number that the kernel takes by value."""

    name: str
    dtype: str
    value: int

    def make(self) -> np.generic:
        """Return the number in its dtype.

        >>> int(Scalar("n", "i4", 7).make())
        7
        """
        return np.dtype(self.dtype).type(self.value)


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel; `module` names its .ptx and .cubin, `name` says what is tried."""

    module: str
    kernel: str
    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[Array | Scalar, ...]
    shared: int = 0  # dynamic shared memory in bytes

    def to_json(self) -> dict[str, Any]:
        """Return the launch as JSON can hold it."""
        return asdict(self)


def read_launch(data: Mapping[str, Any]) -> Launch:
    """Return the launch that `Launch.to_json` told of, also after its way through JSON.

    >>> launch = Launch("m", "k", "", (1, 1, 1), (32, 1, 1), (Scalar("n", "i4", 7),))
    >>> read_launch(launch.to_json()) == launch
    True
    """
    arguments = [
        Scalar(**told)
        if "value" in told
        else Array(**{**told, "fill": told["fill"] if isinstance(told["fill"], str) else tuple(told["fill"])})
        for told in data["arguments"]
    ]
    grid, block = tuple(data["grid"]), tuple(data["block"])
    return Launch(**{**data, "grid": grid, "block": block, "arguments": tuple(arguments)})
