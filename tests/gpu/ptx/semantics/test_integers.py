"""Integers, bits, comparisons and selections against what one lane computes in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gpu.ptx.lanes import evaluate
from tests.gpu.ptx.semantics.instructions import (
    R,
    array,
    covered,
    examples,
    inputs,
    instruction,
    integers,
    patterns,
)
from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError, Pair, Vector
from tinytorch.gpu.ptx.semantics import value_of

TYPES = ["u16", "u32", "u64", "s16", "s32", "s64"]
SIGNED = TYPES[3:]
CARRY = ["u32", "s32", "u64", "s64"]
BYTES = ["u8", "s8", *TYPES]


def each(*parts: str) -> list[str]:
    """Return all names that are made of the words of each part."""
    names = [""]
    for part in parts:
        names = [f"{name}.{word}".strip(".") for name in names for word in part.split()]
    return names


NAMES = [
    *each("add sub min max div rem sad", " ".join(TYPES)),
    *each("add min max", "u16x2 s16x2"),
    *each("min max", "relu", "s32 s16x2"),
    *each("add sub", "sat.s32"),
    *each("abs neg", " ".join(SIGNED)),
    *each("mul mad", "lo hi", " ".join(TYPES)),
    *each("mul mad", "wide", "u16 u32 s16 s32"),
    *each("mul24 mad24", "lo hi", "u32 s32"),
    *each("mad mad24", "hi.sat.s32"),
    *each("add sub addc subc", "cc", " ".join(CARRY)),
    *each("addc subc", " ".join(CARRY)),
    *each("mad madc", "lo hi", "cc", " ".join(CARRY)),
    *each("madc", "lo hi", " ".join(CARRY)),
    *each("dp4a", "u32 s32", "u32 s32"),
    *each("dp2a", "lo hi", "u32 s32", "u32 s32"),
    *each("and or xor not", "pred b16 b32 b64"),
    *each("cnot", "b16 b32 b64"),
    *each("shl", "b16 b32 b64"),
    *each("shr", "b16 b32 b64", *[]),
    *each("shr", " ".join(TYPES)),
    *each("shf", "l r", "clamp wrap", "b32"),
    *each("bfe", " ".join(CARRY)),
    *each("bfi brev popc clz", "b32 b64"),
    *each("bfind", " ".join(CARRY)),
    *each("bfind", "shiftamt", " ".join(CARRY)),
    *each("szext", "clamp wrap", "u32 s32"),
    *each("bmsk", "clamp wrap", "b32"),
    *each("prmt", "b32 b32.f4e b32.b4e b32.rc8 b32.ecl b32.ecr b32.rc16"),
    "fns.b32",
    *each("setp", "eq ne", "b16 b32 b64"),
    *each("setp", "eq ne lt le gt ge", " ".join(SIGNED)),
    *each("setp", "eq ne lt le gt ge lo ls hi hs", "u16 u32 u64"),
    *each("setp", "lt ge", "and or xor", "s32 u64"),
    *each("set", "lt.u32.s32 eq.and.s32.u64 ne.xor.u32.b16"),
    *each("selp", "b16 b32 b64 u16 u32 u64 s16 s32 s64"),
    *each("slct", "b16 b32 b64 u32 s64", "s32"),
    *each("mov", "pred b16 b32 b64 u16 u32 u64 s16 s32 s64"),
    *each("cvt", " ".join(BYTES), " ".join(BYTES)),
    *each("cvt", "sat", " ".join(BYTES), " ".join(BYTES)),
    *each("cvt.pack.sat", "u16.s32 s16.s32 u8.s32.b32 s8.s32.b32"),
]


def check(made: Instruction, bits: tuple[list[int], ...]) -> None:
    value = value_of(made)
    arrays = [array(dtype, column) for dtype, column in zip(value.sources, bits, strict=True)]
    assert patterns(value, arrays) == [evaluate(made, lane) for lane in zip(*bits, strict=True)]


@pytest.mark.parametrize("name", NAMES)
@examples(4)
@given(st.data())
def test_as_one_lane_computes_it(name, data):
    made = covered(name)
    check(made, data.draw(inputs(value_of(made), integers)))


OTHERS = [
    *(
        instruction("prmt.b32", R, R, R, Immediate(selector, "int"))
        for selector in (0x5410, 0x7632, 0x0123, 0x9B7)
    ),
    instruction("setp.lt.s32", Pair(R, R), R, R),
    instruction("setp.hs.xor.u32", Pair(R, R), R, R, R),
    instruction("mov.b64", R, Vector((R, R))),
    instruction("mov.b64", Vector((R, R)), R),
    instruction("mov.b64", R, Vector((R, R, R, R))),
    instruction("mov.b32", R, Vector((R, R))),
    instruction("mov.b32", Vector((R, R)), R),
    instruction("mov.b32", Vector((R, R, R, R)), R),
    *(instruction("shl.b32", R, R, Immediate(count, "int")) for count in (0, 5, 31, 32, -1)),
    *(instruction("shr.s64", R, R, Immediate(count, "int")) for count in (0, 5, 63, 64, -1)),
    *(instruction("shr.u16", R, R, Immediate(count, "int")) for count in (0, 5, 15, 16)),
]


@pytest.mark.parametrize("made", OTHERS, ids=lambda made: f"{made.name} {len(made.operands)}")
@examples(15)
@given(st.data())
def test_vectors_pairs_and_known_amounts(made, data):
    bits = data.draw(inputs(value_of(made), integers))
    last = made.operands[-1]
    if isinstance(last, Immediate):
        bits = (*bits[:-1], [last.value & 0xFFFFFFFF] * len(bits[0]))
    check(made, bits)


@examples(60)
@given(st.integers(0, 255), st.data())
def test_every_table_of_lop3(table, data):
    made = instruction("lop3.b32", R, R, R, R, Immediate(table, "int"))
    check(made, data.draw(inputs(value_of(made), integers)))
    made = instruction("lop3.or.b32", Pair(R, R), R, R, R, Immediate(table, "int"), R)
    check(made, data.draw(inputs(value_of(made), integers)))


def test_immediates_broadcast():
    made = covered("mad.lo.s32")
    value = value_of(made)
    a = np.arange(64, dtype="i4").reshape(2, 32)
    results = value.apply(a, np.array([[3]], "i4"), np.array([[-1]], "i4"))
    np.testing.assert_array_equal(results, 3 * a - 1)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_of_warps(name):
    """Rows of 32 lanes, as well as single numbers, come back in the same shape."""
    value = value_of(covered(name))
    rng = np.random.default_rng(1)
    arrays = [
        rng.integers(0, 2, (3, 32)).astype(bool)
        if dtype == "?"
        else rng.integers(0, 256, (3, 32, int(dtype[1:])), dtype="u1").view(dtype)[..., 0]
        for dtype in value.sources
    ]
    assert len(patterns(value, arrays)) == 96
    # The last source as a number in the text: one element for all.
    arrays[-1] = arrays[-1][:1, :1]
    if len(arrays) > 1:
        assert len(patterns(value, arrays)) == 96


NOT_COVERED = [
    "add.s8",
    "add.sat.u32",
    "add.s32.sat",
    "sub.u16x2",
    "mul.s32",
    "mul.wide.u64",
    "shl.s32",
    "and.s32",
    "popc.u32",
    "min.relu.u32",
    "mov.f16x2",
    "setp.lt.b32",
    "setp.lo.s32",
    "cvt.rn.s32.s64",
    "cvt.f32.f64",
    "cvt.rn.f64.f32",
    "cvt.rzi.f32.f64",
    "cvt.f32.s32",
    "cvt.s32.f32",
    "div.full.s32",
    "div.f32",
    "fma.f32",
    "add.ftz.f64",
    "add.rz.f16",
    "sqrt.f32",
    "ex2.f32",
    "ex2.approx.f64",
    "frobnicate.b32",
]


@pytest.mark.parametrize("name", NOT_COVERED)
def test_what_is_no_instruction_is_not_covered(name):
    with pytest.raises(NotCoveredError, match=r"line 1 .* is not covered"):
        covered(name)


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_a_wrong_number_of_operands_is_not_covered(count):
    with pytest.raises(NotCoveredError, match="operands"):
        value_of(instruction("add.s32", *[R] * count))


def test_lop3_wants_its_table_as_a_number():
    with pytest.raises(NotCoveredError, match="table"):
        value_of(instruction("lop3.b32", R, R, R, R, R))
