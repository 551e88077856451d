"""What an instruction computes, and which instructions are covered.

A `Value` is a function of NumPy arrays, one element a lane, with the types it reads and makes. Each opcode's
forms are written down as the ISA writes its syntax; what matches none of them is not covered, so that a
modifier nobody thought of stops a run. (PTX ISA 9.x, chapter 9.7.)
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytorch.gpu.ptx.program import Instruction, NotCoveredError, Operand, Pair, Vector

Array = NDArray[Any]

#: The NumPy type that holds each PTX type; bfloat16 and packed values are kept as bits.
DTYPES = {
    "pred": "?",
    **{
        f"{kind}{8 * size}": f"{code}{size}"
        for kind, code in zip("bus", "uui", strict=True)
        for size in (1, 2, 4, 8)
    },
    **{"f16": "f2", "f32": "f4", "f64": "f8", "bf16": "u2"},
    **{"u16x2": "u4", "s16x2": "u4", "f16x2": "u4", "bf16x2": "u4", "f32x2": "u8"},
}


@dataclass(frozen=True)
class Value:
    """What an instruction computes: `apply` takes arrays of the types of `sources`, and broadcasts."""

    sources: tuple[str, ...]  # NumPy types, vectors flattened
    results: tuple[str, ...]
    apply: Callable[..., Any]  # returns an array, or a tuple of them if there are several results
    ufunc: np.ufunc | None = None  # if apply is this and nothing else
    carry_in: bool = False  # the last source is the carry flag
    carry_out: bool = False  # the last result is


Maker = Callable[[Instruction], Value]
_FORMS: dict[str, list[tuple[re.Pattern[str], Maker]]] = {}


def covers(opcodes: str, *forms: str) -> Callable[[Maker], Maker]:
    """Declare that a function makes the values of these opcodes in these forms.

    A form lists the modifiers in their order: "[rn|rz] [ftz] f32|f64", with optional ones in brackets.
    """

    def part(token: str) -> str:
        optional = token.startswith("[")
        return rf"(?:\.(?:{token.strip('[]')}))" + ("?" if optional else "")

    patterns = [re.compile("".join(map(part, form.split()))) for form in forms]

    def register(maker: Maker) -> Maker:
        for opcode in opcodes.split():
            _FORMS.setdefault(opcode, []).extend((pattern, maker) for pattern in patterns)
        return maker

    return register


def value_of(instruction: Instruction) -> Value:
    """Return what an arithmetic instruction computes. Raises NotCoveredError.

    >>> from tinytorch.gpu.ptx.program import Register
    >>> operands = tuple(Register(name, "u32") for name in ("%d", "%a", "%b"))
    >>> value = value_of(Instruction("add", ("u32",), operands, 1, "add.u32 %d, %a, %b;"))
    >>> value.apply(np.full((1, 1), 40, "u4"), np.full((1, 1), 2, "u4"))
    array([[42]], dtype=uint32)
    """
    if not instruction.operands:
        raise NotCoveredError(instruction, "it has no operands")
    dotted = "".join(f".{modifier}" for modifier in instruction.modifiers)
    for pattern, maker in _FORMS.get(instruction.opcode, ()):
        if pattern.fullmatch(dotted):
            value = maker(instruction)
            there = sum(map(width, instruction.operands))
            wanted = len(value.sources) + len(value.results) - value.carry_in - value.carry_out
            if there != wanted:
                raise NotCoveredError(instruction, f"{there} operands, not {wanted}")
            return value
    raise NotCoveredError(instruction)


def width(operand: Operand) -> int:
    """Return of how many values an operand consists."""
    if isinstance(operand, Vector):
        return len(operand.parts)
    return 2 if isinstance(operand, Pair) else 1


def of_ufunc(ufunc: np.ufunc, dtype: str) -> Value:
    """Return the value that one ufunc computes, of sources of one type and of that type itself."""
    return Value((dtype,) * ufunc.nin, (dtype,), ufunc, ufunc)


def packed(part: Value, whole: str) -> Value:
    """Return what computes `part` on each part of wider sources: on both halves of a 16x2."""
    kinds = part.sources

    def apply(*arrays: Array) -> Array:
        parts = (split(array, kind) for array, kind in zip(arrays, kinds, strict=True))
        return np.ascontiguousarray(part.apply(*parts)).view(whole)[..., 0]

    return Value((whole,) * len(kinds), (whole,), apply)


def split(array: Array, kind: str) -> Array:
    """Return the parts of each element, the lowest first, along a new last axis."""
    return np.ascontiguousarray(array).reshape(*array.shape, 1).view(kind)
