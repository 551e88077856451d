"""A kernel made ready to be run and read: what every frontend hands on.

PTX, machine code and source text on one side, the launch on the other: a grid, a block, and one argument for
each parameter of the PTX entry, under the name that the user gave it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.gpu.launch import Argument


@dataclass(frozen=True, eq=False)
class Compiled:
    """A kernel and its launch."""

    frontend: str  # "Triton", "numba-cuda", "CUDA C++", "PTX" or "cubin"
    language: str  # that the sources are written in
    entry: str  # the kernel's name in the PTX
    arch: str  # "sm_90a"
    ptx: str = field(repr=False)  # "" for a cubin, which holds none
    cubin: bytes | None = field(repr=False)
    grid: tuple[int, int, int]  # in blocks
    block: tuple[int, int, int]  # in threads
    shared: int  # bytes of dynamic shared memory for each block
    arguments: tuple[Argument, ...] = field(repr=False)
    sources: Mapping[str, str] = field(repr=False)  # file, as the line table names it: its text
    notes: tuple[str, ...] = ()

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return the array of a name. Raises KeyError if there is none."""
        for argument in self.arguments:
            if argument.name == name and isinstance(argument.value, np.ndarray):
                return argument.value
        raise KeyError(name)
