"""The functions that a GPU's driver brings: printf, and the end of a failed assertion.

What threads print is kept in the order of warps and lanes, which on a GPU may be another.
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.launch import GLOBAL, LOCAL, WINDOW
from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.operands import everywhere
from tinytorch.gpu.ptx.program import Instruction, NotCoveredError, Operand, PtxError, Symbol, Vector
from tinytorch.gpu.ptx.state import LANES, Group
from tinytorch.gpu.ptx.transfers import Step

Array = np.ndarray[Any, Any]
Memory = Callable[[int, int], bytes]

#: Characters that are taken of one string.
_LONGEST = 1 << 12
#: A conversion of C's printf: flags, width, precision, length, kind.
_CONVERSION = re.compile(rb"%([-+ #0]*)(\*|\d{1,3})?(?:\.(\*|\d{0,3}))?(hh|h|ll|l|j|z|t|L)?([a-zA-Z%])")
_WIDE = (b"ll", b"l", b"j", b"z", b"t")  # integers of eight bytes


def system_call(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of a call of a function that the PTX does not hold. Raises NotCoveredError."""
    spot = Spot(instruction, index)
    match instruction.operands:
        case (Vector(results), Symbol(name="vprintf"), Vector((text, values))):
            return _printing(machine, spot, results, text, values)
        case (_, Symbol(name="__assertfail"), Vector((message, file, line, *_))):
            return _failing(machine, spot, message, file, line)
    raise NotCoveredError(instruction, "a function that the PTX does not hold")


def _printing(
    machine: Machine, spot: Spot, results: tuple[Operand, ...], text: Operand, values: Operand
) -> Step:
    def step(group: Group) -> None:
        texts, places = (_argument(machine, spot, group, each, "u8") for each in (text, values))
        for row, lane in zip(*np.nonzero(group.mask), strict=True):
            memory = _memory_of(machine, int(machine.rows_of(group)[row]), int(lane))
            machine.printed.append(_formatted(memory, int(texts[row, lane]), int(places[row, lane])))
        for result in results:
            _returned(machine, spot, group, result, 0)

    return step


def _failing(machine: Machine, spot: Spot, message: Operand, file: Operand, line: Operand) -> Step:
    def step(group: Group) -> None:
        row, lane = (int(i[0]) for i in np.nonzero(group.mask))
        warp = int(machine.rows_of(group)[row])
        memory = _memory_of(machine, warp, lane)
        said, where = (
            _string(memory, int(_argument(machine, spot, group, each, "u8")[row, lane])).decode(
                errors="replace"
            )
            for each in (message, file)
        )
        number = int(_argument(machine, spot, group, line, "u4")[row, lane])
        block = tuple(int(i) for i in machine.block_ids[machine.warps.block[warp]])
        thread = machine.thread(warp, lane)
        raise PtxError(f"{where}:{number}: the assertion {said!r} failed in block {block}, thread {thread}")

    return step


def _argument(machine: Machine, spot: Spot, group: Group, variable: Operand, dtype: str) -> Array:
    """Return what lanes hand over in a variable of a call, (n, 32)."""
    if not isinstance(variable, Symbol) or machine.spaces.get(variable.name) != "local":
        raise NotCoveredError(spot.instruction, "its arguments")
    place = np.array([[machine.symbols[variable.name]]], np.int64)
    rows, _, _ = machine.place("local", group, everywhere(place, group.n), dtype, 1, True, spot)
    return machine.memories["local"].load(rows, dtype, 1)


def _returned(machine: Machine, spot: Spot, group: Group, variable: Operand, value: int) -> None:
    if isinstance(variable, Symbol):
        place = np.array([[machine.symbols[variable.name]]], np.int64)
        rows, _, _ = machine.place("local", group, everywhere(place, group.n), "u4", 1, False, spot)
        machine.memories["local"].store(rows, np.array(value, np.uint32), "u4", 1)


def _memory_of(machine: Machine, warp: int, lane: int) -> Memory:
    """Return what reads bytes at a generic address as one thread sees it."""

    def read(address: int, size: int) -> bytes:
        if address >> WINDOW == LOCAL >> WINDOW:
            start = address - LOCAL + (warp * LANES + lane) * machine.local_bytes
            memory = machine.memories["local"]
        else:
            start, memory = address - GLOBAL, machine.memories["global"]
        if not 0 <= start <= memory.sink:
            return b""
        return memory.data[start : min(start + size, memory.sink)].tobytes()

    return read


def _string(memory: Memory, address: int) -> bytes:
    return memory(address, _LONGEST).partition(b"\0")[0]


def _formatted(memory: Memory, text: int, values: int) -> str:
    """Return what C's printf makes of the string at an address and of the values at another."""
    form, place = _string(memory, text), values

    def take(code: str) -> Any:
        nonlocal place
        size = struct.calcsize(code)
        place = -(-place // size) * size  # values lie at multiples of their size
        content = memory(place, size).ljust(size, b"\0")
        place += size
        return struct.unpack(f"<{code}", content)[0]

    def pieces() -> Iterator[str]:
        end = 0
        for found in _CONVERSION.finditer(form):
            yield form[end : found.start()].decode("utf-8", "replace")
            yield _converted(found, take, memory)
            end = found.end()
        yield form[end:].decode("utf-8", "replace")

    return "".join(pieces())


def _converted(found: re.Match[bytes], take: Callable[[str], Any], memory: Memory) -> str:
    flags, width, precision, length, kind = (part or b"" for part in found.groups())
    if kind == b"%":
        return "%"
    width, precision = _starred(width, take, -_LONGEST), _starred(precision, take, -1)
    exact = found[3] is not None and precision != b"-1"  # a precision below zero counts as none
    head = b"%" + flags + width + (b"." + precision if exact else b"")
    wide = length in _WIDE
    if kind in b"di":
        value: Any = take("q" if wide else "i")
        kind = b"d"
    elif kind in b"uoxX":
        value = take("Q" if wide else "I")
        kind = b"d" if kind == b"u" else kind
    elif kind in b"eEfFgG":
        value = take("d")
    elif kind in b"aA":
        return float(take("d")).hex()
    elif kind == b"c":
        value = chr(take("i") & 0xFF)
    elif kind == b"s":
        value, kind = _string(memory, take("Q")).decode("utf-8", "replace"), b"s"
    elif kind == b"p":
        return f"{take('Q'):#x}"
    else:
        return found[0].decode("ascii", "replace")
    return str((head + kind).decode("ascii") % value)


def _starred(part: bytes, take: Callable[[str], Any], least: int) -> bytes:
    """Return a width or precision; for a * the next value is it, as far as a string may be long."""
    return str(min(max(take("i"), least), _LONGEST)).encode() if part == b"*" else part
