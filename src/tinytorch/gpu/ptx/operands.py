"""Operands: how an instruction reads its sources and writes its results, for a group of warps at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.program import (
    SIZES,
    Immediate,
    Instruction,
    Not,
    NotCoveredError,
    Operand,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)
from tinytorch.gpu.ptx.state import LANES, Group, Registers

Array = np.ndarray[Any, Any]
Reader = Callable[[Group], Array]
Writer = Callable[[Group, Array], None]


def flat(operands: Sequence[Operand]) -> list[Operand]:
    """Return operands with those of vectors and pairs in their place.

    >>> flat([Pair(Sink(), Sink()), Vector((Sink(),))])
    [Sink(), Sink(), Sink()]
    """
    found: list[Operand] = []
    for operand in operands:
        if isinstance(operand, Vector):
            found += flat(operand.parts)
        elif isinstance(operand, Pair):
            found += flat([operand.first, operand.second])
        else:
            found.append(operand)
    return found


def counted(instruction: Instruction, *counts: int) -> tuple[Operand, ...]:
    """Return the operands of an instruction that has one of these numbers of them. Raises NotCoveredError."""
    found = instruction.operands
    if len(found) not in counts:
        raise NotCoveredError(instruction, f"{len(found)} operands, not {' or '.join(map(str, counts))}")
    return found


def bits(value: int, dtype: str) -> Array:
    """Return an integer as one element of a dtype of (1, 1), wrapped around.

    >>> int(bits(-1, "u2")[0, 0]), float(bits(0x3F800000, "f4")[0, 0])
    (65535, 1.0)
    """
    if dtype == "?":
        return np.array([[bool(value)]])
    size = int(dtype[1:])
    return np.array([[value & ((1 << 8 * size) - 1)]], f"u{size}").view(dtype)


def constant(operand: Immediate, dtype: str) -> Array | None:
    """Return a number of the text as a dtype, (1, 1); None for one that cannot be."""
    if operand.kind == "int":
        return bits(operand.value, dtype)
    if operand.kind == "f32":
        return bits(operand.value, dtype) if dtype != "?" and dtype[1:] == "4" else None
    if dtype in ("f8", "u8", "i8"):
        return bits(operand.value, dtype)
    value = np.array([[operand.value]], np.uint64).view(np.float64)
    if dtype in ("f4", "u4", "i4"):
        return value.astype(np.float32).view(dtype)
    return value.astype(np.float16) if dtype == "f2" else None


class Operands:
    """Makes readers and writers for the operands of one launch."""

    def __init__(
        self,
        registers: Registers,
        symbols: Mapping[str, int],
        specials: Callable[[str], Reader | None],
    ) -> None:
        self._registers = registers
        self._symbols = symbols  # addresses, or offsets in their space
        self._specials = specials

    def reader(self, instruction: Instruction, operand: Operand, dtype: str) -> Reader:
        """Return what reads an operand as a dtype: (n, 32), or (1, 1) for what is the same for all."""
        if isinstance(operand, Not):
            plain = self.reader(instruction, operand.register, dtype)
            return lambda group: ~plain(group)
        if isinstance(operand, Register):
            return self._register(instruction, operand, dtype)
        if isinstance(operand, Immediate):
            value = constant(operand, dtype)
            if value is None:
                raise NotCoveredError(instruction, f"a number of the kind {operand.kind} as {dtype}")
            return lambda group: value
        if isinstance(operand, Symbol) and operand.name in self._symbols:
            address = bits(self._symbols[operand.name] + operand.offset, dtype)
            return lambda group: address
        if isinstance(operand, Special):
            special = self._specials(operand.name)
            if special is None:
                raise NotCoveredError(instruction, f"the register {operand.name}")
            return lambda group: special(group).astype(dtype)
        raise NotCoveredError(instruction, f"the operand {operand}")

    def _register(self, instruction: Instruction, register: Register, dtype: str) -> Reader:
        if not _holds(register, dtype):
            raise NotCoveredError(instruction, f"{register.name} of .{register.type} read as {dtype}")
        view = self._registers.view(register, dtype)
        return lambda group: view if group.rows is None else view[group.rows]

    def writer(self, instruction: Instruction, operand: Operand, dtype: str) -> Writer:
        """Return what writes a result to the active lanes of a register, extended to its bits."""
        if isinstance(operand, Sink):
            return lambda group, value: None
        if not isinstance(operand, Register):
            raise NotCoveredError(instruction, f"a result in {operand}")
        if not _holds(operand, dtype):
            raise NotCoveredError(instruction, f"a result of {dtype} in {operand.name} of .{operand.type}")
        size = SIZES[operand.type]
        wide = dtype if dtype == "?" or size == int(dtype[1:]) else f"{'i' if dtype[0] == 'i' else 'u'}{size}"
        view = self._registers.view(operand, wide)
        narrow = None if wide == dtype or dtype[0] != "f" else f"u{dtype[1:]}"  # a float's bits

        def write(group: Group, value: Array) -> None:
            if narrow is not None:
                value = value.view(narrow)
            if group.rows is None:
                if group.full:
                    view[...] = value
                else:
                    np.copyto(view, value, where=group.mask, casting="same_kind")
            elif group.full:
                view[group.rows] = value
            else:
                chosen = view[group.rows]
                np.copyto(chosen, value, where=group.mask, casting="same_kind")
                view[group.rows] = chosen

        return write

    def target(self, operand: Operand, dtype: str) -> Array | None:
        """Return the register itself if a ufunc may write all of it with its `out`."""
        size = 1 if dtype == "?" else int(dtype[1:])
        if isinstance(operand, Register) and _holds(operand, dtype) and SIZES[operand.type] == size:
            return self._registers.view(operand, dtype)
        return None


def _holds(register: Register, dtype: str) -> bool:
    """Say whether a register has all the bits of a dtype; predicates are apart, and 128 bits are too many."""
    if register.type == "pred" or dtype == "?":
        return register.type == "pred" and dtype == "?"
    return int(dtype[1:]) <= SIZES[register.type] <= 8


def everywhere(value: Array, n: int) -> Array:
    """Return a value that is the same for all as (n, 32)."""
    return value if value.shape == (n, LANES) else np.broadcast_to(value, (n, LANES))
