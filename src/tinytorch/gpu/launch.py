"""A launch, as people write it: the architecture, the grid, the block, and an argument for each parameter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.gpu.arch import capability
from tinytorch.runtime.errors import InputError

Three = tuple[int, int, int]

#: The limits of a launch on all GPUs (CUDA C++ Programming Guide, "Technical Specifications per Compute
#: Capability").
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
MOST_THREADS = (1024, 1024, 64)


@dataclass(frozen=True, slots=True, eq=False)
class Boxed:
    """An array that a kernel gets through a tensor map: it is copied in boxes."""

    array: npt.NDArray[Any]
    shape: tuple[int, ...]  # outermost dimension first
    strides: tuple[int, ...]  # in bytes
    box: tuple[int, ...]
    swizzle: int  # 0: none, 1 to 3: over 32, 64 or 128 bytes


#: What a parameter can be given: an array (its address is passed), a number, the bytes of a struct, a tensor
#: map, or None for a pointer that nothing reads.
Value = npt.NDArray[Any] | Boxed | np.generic | bytes | int | float | None


@dataclass(frozen=True, slots=True, eq=False)
class Argument:
    """The value of one parameter of a PTX entry.

    An array keeps its strides: element i, j lies at its first element's address plus i, j times the strides.
    Several arguments may belong to one array: x, then x.shape[0] and x.strides[0].

    >>> Argument("x", np.zeros((4, 2), np.float32)).type
    'float32'
    """

    name: str
    value: Value
    dtype: str = ""  # of the elements, where NumPy has no name for them: "bfloat16" kept in uint16

    @property
    def type(self) -> str:
        """The type of a number or of an array's elements; "bytes" of a struct, "none" of nothing."""
        if isinstance(self.value, np.ndarray | np.generic):
            return self.dtype or self.value.dtype.name
        return "none" if self.value is None else type(self.value).__name__


#: Alignment of arrays in the emulated GPU's memory, in bytes, as a GPU's allocator gives it.
ALIGN = 512


def extent(array: npt.NDArray[Any]) -> tuple[int, int]:
    """Return the first address that an array's elements take, and the one behind the last."""
    if not array.size:
        return array.ctypes.data, array.ctypes.data
    low, high = np.lib.array_utils.byte_bounds(array)
    return low, high


def behind(array: npt.NDArray[Any]) -> int:
    """Return how far behind a multiple of `ALIGN` an array begins: a view as in what it is a view of.

    >>> x = np.zeros(1000, np.float32)
    >>> behind(x), behind(x[3:]), behind(x[129:])
    (0, 12, 4)
    """
    owner: Any = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return (extent(array)[0] - extent(owner)[0]) % ALIGN


def number(arch: str) -> int:
    """Return the compute capability that `sm_90`, `sm_90a` or `9.0` names, times ten. Raises InputError.

    >>> number("sm_90a"), number("12.0")
    (90, 120)
    """
    found = capability(arch)
    return 10 * found.major + found.minor


def target(arch: str) -> str:
    """Return the name of an architecture with all its instructions, those of no other included.

    >>> target("9.0"), target("sm_80")
    ('sm_90a', 'sm_80')
    """
    return f"sm_{number(arch)}{'a' if number(arch) >= 90 else ''}"


def grid(given: Any) -> Three:
    """Return a grid in blocks: (x, y, z). Raises InputError for one that cannot be launched.

    >>> grid(128), grid((4, 2))
    ((128, 1, 1), (4, 2, 1))
    """
    return _three(given, "grid", MOST_BLOCKS)


def block(given: Any) -> Three:
    """Return a block in threads: (x, y, z). Raises InputError for one that cannot be launched."""
    sides = _three(given, "block", MOST_THREADS)
    if math.prod(sides) > MOST_THREADS[0]:
        raise InputError(f"a block of {sides} has {math.prod(sides)} threads; at most {MOST_THREADS[0]}")
    return sides


def shared(size: Any) -> int:
    """Return the bytes of dynamic shared memory. Raises InputError for what is no such number."""
    if not _is_integer(size) or not 0 <= int(size) < 2**31:
        raise InputError(f"dynamic shared memory is a number of bytes, not {size!r}")
    return int(size)


def _three(given: Any, what: str, most: Three) -> Three:
    sides = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    if not 1 <= len(sides) <= 3 or not all(_is_integer(side) for side in sides):
        raise InputError(f"a {what} is one to three integers, not {given!r}")
    x, y, z = (*map(int, sides), 1, 1)[:3]
    for side, limit in zip((x, y, z), most, strict=True):
        if not 1 <= side <= limit:
            raise InputError(f"a {what} of {(x, y, z)} cannot be launched: each side is 1 to {most}")
    return x, y, z


def _is_integer(side: Any) -> bool:
    return hasattr(side, "__index__") and not isinstance(side, bool)
