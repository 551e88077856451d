"""A launch: the grid, and the arguments put into the memory of the emulated GPU.

Arrays are copied in, so that the caller's are never changed; a kernel sees each at an address that is a
multiple of 512, as an allocator of a GPU gives it, and views of one array lie in each other as they do here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu import launch
from tinytorch.gpu.launch import Argument, Boxed
from tinytorch.gpu.ptx.matrix.tensormap import TensorMap
from tinytorch.gpu.ptx.memory import UNWRITTEN, WRITTEN, Memory, MemoryLimitError
from tinytorch.gpu.ptx.program import Kernel, Parameter, PtxError, Variable
from tinytorch.runtime import units
from tinytorch.runtime.errors import InputError

Array = np.ndarray[Any, Any]

#: Where each kind of memory begins as a generic address. Within all but global memory addresses begin at 0.
GLOBAL = 0x7F00_0000_0000
SHARED = 0x0100_0000_0000
LOCAL = 0x0200_0000_0000
PARAMETERS = 0x0300_0000_0000
#: Bits below the window of a generic address.
WINDOW = 40
#: Alignment of arrays and the least that lies between them, in bytes: who runs out of one is not in the next.
_ALIGN, _GAP = launch.ALIGN, 64 << 10


@dataclass(frozen=True)
class Allocation:
    """An array in the emulated GPU's memory."""

    name: str
    start: int  # offset in global memory
    size: int


def block_of(given: Any, kernel: Kernel) -> tuple[int, int, int]:
    """Return the threads of a block, as the kernel says if it does. Raises InputError."""
    if given is None:
        if kernel.threads is None:
            raise InputError(f"{kernel.name} does not say how many threads a block has: block= must")
        given = kernel.threads
    block = launch.block(given)
    size = math.prod(block)
    if kernel.threads is not None and block != kernel.threads:
        raise InputError(f"block {block}: {kernel.name} was compiled for {kernel.threads}")
    if kernel.most_threads is not None and size > kernel.most_threads:
        raise InputError(
            f"block {block}: {kernel.name} was compiled for at most {kernel.most_threads} threads"
        )
    return block


class GlobalMemory:
    """The arrays and variables of a launch, at their addresses."""

    def __init__(self, kernel: Kernel, arguments: Sequence[Argument], limit: int) -> None:
        held = {a.name: a.value.array if isinstance(a.value, Boxed) else a.value for a in arguments}
        given = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
        variables = [v for v in kernel.variables.values() if v.space in ("global", "const")]
        top, shifts = _ALIGN, []  # from an address here to an offset there
        regions = _regions(list(given.values()))
        for low, high in regions:
            shifts.append(top - low)
            top += -(-(high - low) // _ALIGN) * _ALIGN + _GAP
        self.symbols: dict[str, int] = {}
        for variable in variables:
            align = max(variable.align, _ALIGN)
            top = -(-top // align) * align
            self.symbols[variable.name] = GLOBAL + top
            top += variable.size + _GAP
        if top > limit:
            raise MemoryLimitError(
                f"the arrays of the launch take {units.size(top)}: more than the {units.size(limit)} "
                "that may be used (memory=)"
            )
        self.memory = Memory(top)
        self.allocations: list[Allocation] = []
        self._windows: dict[str, Array] = {}  # each array, as it lies in the memory
        self._starts: dict[str, int] = {}
        for name, array in given.items():
            low, high = launch.extent(array)
            shift = next(
                s for s, (start, end) in zip(shifts, regions, strict=True) if start <= low <= high <= end
            )
            first = array.ctypes.data + shift
            window = np.ndarray(array.shape, array.dtype, self.memory.data, first, array.strides)
            window[...] = array
            # Of a view that leaves elements out, those between count as written: they are somebody's.
            self.memory.allow(low + shift, high - low, WRITTEN)
            self._windows[name], self._starts[name] = window, first
            self.allocations.append(Allocation(name, low + shift, high - low))
        for variable in variables:
            self._put_variable(variable)
        self.allocations.sort(key=lambda one: one.start)

    def _put_variable(self, variable: Variable) -> None:
        start = self.symbols[variable.name] - GLOBAL
        content = bytearray((variable.initial or b"").ljust(variable.size, b"\0"))
        for offset, symbol in variable.pointers:
            if symbol.name not in self.symbols:
                raise PtxError(f"{variable.name} holds the address of {symbol.name}, which has none")
            content[offset : offset + 8] = (self.symbols[symbol.name] + symbol.offset).to_bytes(8, "little")
        self.memory.put(start, np.frombuffer(bytes(content), np.uint8))
        self.allocations.append(Allocation(variable.name, start, variable.size))

    def address(self, name: str) -> int:
        """Return the address of an argument's first element."""
        return GLOBAL + self._starts[name]

    def forget(self, names: Sequence[str]) -> None:
        """Take what arrays hold as never written: where a kernel reads of it is found."""
        for allocation in self.allocations:
            if allocation.name in names:
                self.memory.allow(allocation.start, allocation.size, UNWRITTEN)

    def arrays(self) -> dict[str, Array]:
        """Return copies of the arguments' arrays as they are now."""
        return {name: window.copy() for name, window in self._windows.items()}


def _regions(arrays: Sequence[Array]) -> list[tuple[int, int]]:
    """Return the stretches of memory that arrays lie in; those that overlap are one.

    A view begins as far behind a multiple of the alignment as it does in the array that it is a view of.
    """
    regions: list[tuple[int, int]] = []
    extents = [(launch.extent(array), launch.behind(array)) for array in arrays]
    for low, high in sorted({(low - behind, high) for (low, high), behind in extents}):
        if regions and low < regions[-1][1]:
            regions[-1] = (regions[-1][0], max(regions[-1][1], high))
        else:
            regions.append((low, high))
    return regions


def parameter_bytes(kernel: Kernel, arguments: Sequence[Argument], memory: GlobalMemory) -> Array:
    """Return the kernel's parameter memory. Raises InputError for arguments that do not match it."""
    if len(arguments) != len(kernel.parameters):
        wanted = ", ".join(f".{p.type} {p.name}" for p in kernel.parameters)
        raise InputError(
            f"{kernel.name} takes {len(kernel.parameters)} arguments ({wanted}), not {len(arguments)}"
        )
    size = max((p.offset + p.size for p in kernel.parameters), default=0)
    content = bytearray(size)
    for parameter, argument in zip(kernel.parameters, arguments, strict=True):
        content[parameter.offset : parameter.offset + parameter.size] = _bytes_of(parameter, argument, memory)
    return np.frombuffer(bytes(content), np.uint8)


def _bytes_of(parameter: Parameter, argument: Argument, memory: GlobalMemory) -> bytes:
    """Return an argument as it lies in parameter memory. Raises InputError for one that does not fit."""
    value = argument.value
    if isinstance(value, np.ndarray):
        content = memory.address(argument.name).to_bytes(8, "little")
    elif isinstance(value, Boxed):
        place = memory.address(argument.name)
        content = TensorMap(
            place, value.array.itemsize, value.shape, value.strides, value.box, value.swizzle
        ).encode()
    elif value is None:
        content = bytes(8)  # a null pointer
    elif isinstance(value, bytes):
        content = value
    else:
        content = _number(parameter, argument)
    if len(content) != parameter.size:
        given = f"{len(content)} bytes" if isinstance(value, bytes) else f"a {type(value).__name__}"
        raise InputError(
            f"argument {argument.name}: {given} for a parameter of .{parameter.type} with {parameter.size} "
            "bytes"
        )
    return content


def _number(parameter: Parameter, argument: Argument) -> bytes:
    value: Any = argument.value
    size, kind = parameter.size, parameter.type[0]
    if isinstance(value, np.generic):
        if value.dtype.itemsize == size and (kind == "b" or (value.dtype.kind == "f") == (kind == "f")):
            return value.tobytes()
        value = value.item()
    if isinstance(value, int) and kind in "usb" and size in (1, 2, 4, 8):
        if not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
            raise InputError(f"argument {argument.name}: {value} does not fit {size} bytes")
        return (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    if isinstance(value, int | float) and kind in "fb" and size in (2, 4, 8):
        return np.array(value, f"f{size}").tobytes()
    raise InputError(
        f"argument {argument.name}: a {type(argument.value).__name__} does not fit a parameter of "
        f".{parameter.type} with {size} bytes"
    )


def shared_layout(kernel: Kernel, dynamic: int) -> tuple[dict[str, int], int]:
    """Return where each shared variable begins, and how many bytes a block has in all.

    What is declared without a size begins after all others, and is as large as the launch says.
    """
    symbols, top = {}, 0
    shared = [v for v in kernel.variables.values() if v.space == "shared"]
    for variable in sorted(shared, key=lambda one: one.extern and not one.size):
        top = -(-top // variable.align) * variable.align
        symbols[variable.name] = top
        top += variable.size
    return symbols, top + dynamic


def local_layout(kernel: Kernel) -> tuple[dict[str, int], int]:
    """Return where each local variable of a thread begins, and how many bytes a thread has in all."""
    symbols, top = {}, 0
    for variable in kernel.variables.values():
        if variable.space == "local":
            align = max(variable.align, 1)
            top = -(-top // align) * align
            symbols[variable.name] = top
            top += variable.size
    return symbols, -(-top // 32) * 32
