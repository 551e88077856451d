"""Conversions that involve floats, comparisons of floats, and classes, against exact fractions."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gpu.ptx import lanes
from tests.gpu.ptx.semantics.floats import LAYOUTS, NAN, magnitude, read, saturate, special, write
from tests.gpu.ptx.semantics.instructions import (
    array,
    covered,
    examples,
    inputs,
    instruction,
    integers,
    patterns,
    run,
)
from tests.gpu.ptx.semantics.test_floats import floats
from tests.gpu.ptx.semantics.test_integers import BYTES, each
from tinytorch.gpu.ptx.program import Instruction, Pair, Register
from tinytorch.gpu.ptx.semantics import value_of

FLOATS = "f16 bf16 f32 f64"
INTEGERS = " ".join(BYTES)
WHOLE = {
    "rni": round,
    "rzi": math.trunc,
    "rmi": math.floor,
    "rpi": math.ceil,
}


def converted(made: Instruction, bits: int) -> int:
    """Return what cvt makes of one number, a float on at least one side."""
    modifiers = made.modifiers
    result, source = modifiers[-2:]
    rounding = next((name for name in modifiers if name in (*WHOLE, "rn", "rz", "rm", "rp", "rna")), "rn")
    if source not in LAYOUTS:
        number = lanes.number(bits, source)
        value: Fraction | float = Fraction(number)
        sign = -1 if number < 0 else 1
    else:
        value, sign = read(bits, source, "ftz" in modifiers and source == "f32")
    if result not in LAYOUTS:
        return whole(value, result, source, WHOLE[rounding])
    if rounding in WHOLE and isinstance(value, Fraction):
        value, rounding = Fraction(WHOLE[rounding](value)), "rn"
    if "satfinite" in modifiers and value == math.copysign(math.inf, sign):
        value = sign * Fraction(2) ** 999
    if not isinstance(value, Fraction):
        answer = special(value, result)
    else:
        rounding = "rz" if "satfinite" in modifiers and abs(value) > largest(result) else rounding
        answer = write(abs(value), sign, result, rounding, "ftz" in modifiers and result == "f32")
    if "sat" in modifiers:
        answer = saturate(answer, result)
    if "relu" in modifiers and answer & LAYOUTS[result].sign:
        answer = 0
    return answer


def largest(kind: str) -> Fraction:
    return Fraction(read(LAYOUTS[kind].largest, kind)[0])


def whole(value: Fraction | float, result: str, source: str, rounding) -> int:
    if isinstance(value, Fraction):
        return lanes.bits(lanes.clamped(rounding(value), result), result)
    if math.isnan(value):
        top = 1 << lanes.width(result) - 1
        return top if source == "f64" or result in ("s64", "u64") else 0
    return lanes.bits(lanes.clamped(int(math.copysign(2**70, value)), result), result)


def kind_of(dtype: str, source: str) -> "st.SearchStrategy[int]":
    return floats(source) if source in LAYOUTS else integers(dtype)


PAIRS = [f"{a}.{b}" for a, b in itertools.product(FLOATS.split(), repeat=2)]
WIDTHS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}


def narrowing(pair: str) -> bool:
    result, source = pair.split(".")
    return result != source and WIDTHS[result] <= WIDTHS[source]


NAMES = [
    *each("cvt", "rni rzi rmi rpi", INTEGERS, FLOATS),
    *each("cvt", "rzi.ftz rni.sat", "s32 u8 s64", "f32"),
    *each("cvt", "rn rz rm rp", FLOATS, INTEGERS),
    *each("cvt.rn.sat", "f16 f32 f64", "s32 u64"),
    *(f"cvt.{pair}" for pair in PAIRS if not narrowing(pair)),
    *each("cvt", "rn rz rm rp", " ".join(filter(narrowing, PAIRS))),
    *each("cvt", "rni rzi rmi rpi", "f16.f16 bf16.bf16 f32.f32 f64.f64 ftz.f32.f32"),
    *each(
        "cvt",
        "sat.f32.f32 ftz.f32.f32 ftz.sat.f32.f16 rn.ftz.f16.f32 rn.ftz.f32.f64 rn.sat.f16.f32 sat.f64.f32",
    ),
    *each("cvt", "rn rz", "relu satfinite relu.satfinite", "f16.f32 bf16.f32"),
    *each("cvt", "rna rn rz rna.satfinite rn.relu rz.satfinite.relu", "tf32.f32"),
]


@pytest.mark.parametrize("name", NAMES)
@examples(3)
@given(st.data())
def test_converted_once(name, data):
    made = covered(name)
    value = value_of(made)
    result, source = made.modifiers[-2:]
    bits = data.draw(inputs(value, lambda dtype: kind_of(dtype, source), lanes=12))
    ours = [lane[0] for lane in patterns(value, [array(value.sources[0], bits[0])])]
    for before, after in zip(bits[0], ours, strict=True):
        expected = converted(made, before)
        if result == "tf32":  # kept as a float32 with 13 zeros
            expected = expected << 13
        if expected in nan_of(result) and isinstance(after, int) and is_nan(after, result):
            continue
        assert after == expected, f"{name} of {before:#x}: {after:#x}, not {expected:#x}"


@pytest.mark.parametrize(
    "name",
    [
        *each("cvt", "rn rz rp", "f16.f32 bf16.f32 f16.f64 bf16.f64 f32.f64 bf16.f16"),
        *each("cvt", "rn rz rna", "tf32.f32"),
    ],
)
def test_between_two_neighbours(name):
    """Numbers half way between two of the narrower format, and next to half way."""
    made = covered(name)
    result, source = made.modifiers[-2:]
    codes = np.random.default_rng(7).integers(0, LAYOUTS[result].largest, 150).tolist()
    halves = [(magnitude(code, LAYOUTS[result]) + magnitude(code + 1, LAYOUTS[result])) / 2 for code in codes]
    bits = [write(half, sign, source, "rn") + off for half in halves for sign in (1, -1) for off in (0, 1)]
    value = value_of(made)
    ours = [lane[0] for lane in patterns(value, [array(value.sources[0], bits)])]
    shift = 13 if result == "tf32" else 0
    assert ours == [converted(made, before) << shift for before in bits]


def nan_of(kind: str) -> tuple[int, ...]:
    """Return what the reference says for a NaN where its bits are not specified."""
    return (LAYOUTS["f64"].infinity | 1,) if kind == "f64" else (NAN["bf16"],) if kind == "bf16" else ()


def is_nan(bits: int, kind: str) -> bool:
    return math.isnan(read(bits, kind)[0])


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@examples(20)
@given(st.data())
def test_two_halves_go_high_and_low(kind, data):
    made = covered(f"cvt.rn.relu.{kind}x2.f32")
    single = instruction(f"cvt.rn.relu.{kind}.f32")
    value = value_of(made)
    a, b = data.draw(inputs(value, lambda dtype: floats("f32")))
    ours = patterns(value, [array("f4", a), array("f4", b)])
    expected = [converted(single, x) << 16 | converted(single, y) for x, y in zip(a, b, strict=True)]
    assert [lane[0] for lane in ours] == expected


def near_one() -> "st.SearchStrategy[int]":
    """Return bits of float32, most of them in the range of 8-bit formats."""
    near = floats("f32").map(lambda bits: bits & 0x80FFFFFF | (0x3A + (bits >> 24) % 13) << 24)
    return st.one_of(near, near, floats("f32"))


@pytest.mark.parametrize("kind", ["e4m3", "e5m2"])
@examples(15)
@given(st.data())
def test_eight_bits_of_float32(kind, data):
    for name in ("rn.satfinite", "rn.satfinite.relu"):
        value = value_of(covered(f"cvt.{name}.{kind}x2.f32"))
        single = instruction(f"cvt.{name}.{kind}.f32")
        a, b = data.draw(inputs(value, lambda dtype: near_one()))
        ours = [lane[0] for lane in patterns(value, [array("f4", a), array("f4", b)])]
        assert ours == [converted(single, x) << 8 | converted(single, y) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("kind", ["e4m3", "e5m2"])
def test_eight_bits_there_and_back(kind):
    """All 65,536 halves become what the definition says, and all 256 codes the halves that they are."""
    down = value_of(covered(f"cvt.rn.satfinite.{kind}x2.f16x2"))
    up = value_of(covered(f"cvt.rn.f16x2.{kind}x2"))
    single = instruction(f"cvt.rn.satfinite.{kind}.f16")
    halves = np.arange(0, 65536, 7, dtype="u4")
    codes = run(down, (halves | halves[::-1] << 16)[None])[0]
    expected = np.array([converted(single, int(half)) for half in halves], "u2")
    np.testing.assert_array_equal(codes, expected | expected[::-1] << 8)
    both = np.arange(256, dtype="u2")
    values = up.apply((both | both[::-1] << 8)[None])[0]
    for code, pair in zip(both.tolist(), values.tolist(), strict=True):
        assert pair & 0xFFFF == widened(code, kind)
        assert pair >> 16 == widened(255 - code, kind)


def widened(code: int, kind: str) -> int:
    value, sign = read(code, kind)
    return write(abs(value), sign, "f16", "rn") if isinstance(value, Fraction) else special(value, "f16")


COMPARE = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def compared(operator: str, a: int, b: int, kind: str, ftz: bool) -> bool:
    x, y = read(a, kind, ftz)[0], read(b, kind, ftz)[0]
    unordered = math.isnan(x) or math.isnan(y)
    if operator in ("num", "nan"):
        return unordered == (operator == "nan")
    return operator not in COMPARE if unordered else COMPARE[operator[:2]](x, y)


@pytest.mark.parametrize("operator", [*COMPARE, *(f"{name}u" for name in COMPARE), "num", "nan"])
@examples(10)
@given(st.data())
def test_comparisons_of_floats(operator, data):
    for kind, ftz in (("f32", False), ("f32", True), ("f64", False), ("f16", False), ("bf16", False)):
        made = covered(f"setp.{operator}.{'ftz.' if ftz else ''}{kind}")
        value = value_of(made)
        few = data.draw(inputs(value, lambda dtype, kind=kind: floats(kind)))
        a, b = few[0], [*few[0][:3], *few[1][3:]]
        ours = patterns(value, [array(value.sources[0], a), array(value.sources[1], b)])
        assert [bool(lane[0]) for lane in ours] == [
            compared(operator, x, y, kind, ftz) for x, y in zip(a, b, strict=True)
        ]


@examples(20)
@given(st.data())
def test_packed_comparisons_make_two_predicates(data):
    r = Register("%r", "b32")
    made = instruction("setp.ltu.and.f16x2", Pair(r, r), r, r, r)
    value = value_of(made)
    halves = st.lists(floats("f16"), min_size=16, max_size=16)
    a, b, p = data.draw(halves), data.draw(halves), data.draw(st.lists(st.booleans(), min_size=8, max_size=8))
    packed = [[low | high << 16 for low, high in zip(x[::2], x[1::2], strict=True)] for x in (a, b)]
    ours = patterns(value, [array("u4", packed[0]), array("u4", packed[1]), array("?", p)])
    single = [compared("ltu", x, y, "f16", False) for x, y in zip(a, b, strict=True)]
    assert ours == [(single[2 * i] and p[i], single[2 * i + 1] and p[i]) for i in range(8)]


@pytest.mark.parametrize(
    ("name", "true"),
    [
        ("f32.f32", 0x3F800000),
        ("u32.f32", 0xFFFFFFFF),
        ("s32.f64", 0xFFFFFFFF),
        ("f16.f16", 0x3C00),
        ("bf16.bf16", 0x3F80),
        ("u16.f16", 0xFFFF),
        ("f32.s32", 0x3F800000),
    ],
)
def test_set_writes_one_or_all_ones(name, true):
    value = value_of(covered(f"set.lt.{name}"))
    a, b = array(value.sources[0], [1, 3, 2]), array(value.sources[1], [2, 2, 2])
    assert patterns(value, [a, b]) == [(true,), (0,), (0,)]


@pytest.mark.parametrize(("result", "true"), [("u32", 0xFFFF), ("s32", 0xFFFF), ("f16x2", 0x3C00)])
def test_set_of_halves(result, true):
    value = value_of(covered(f"set.ltu.{result}.f16x2"))
    a, b = array("u4", [0x3C004000, 0x7E003C00]), array("u4", [0x40003C00, 0x3C003C00])
    assert patterns(value, [a, b]) == [(true << 16,), (true << 16,)]


def test_selection_by_the_sign_of_a_float():
    signs = np.array([[1.0, -1.0, 0.0, -0.0, -1e-40, np.nan]], "f4")
    a, b = np.full((1, 6), 1, "u4"), np.full((1, 6), 2, "u4")
    plain, flushed = value_of(covered("slct.b32.f32")), value_of(covered("slct.ftz.b32.f32"))
    assert plain.apply(a, b, signs).tolist() == [[1, 2, 1, 1, 2, 2]]
    assert flushed.apply(a, b, signs).tolist() == [[1, 2, 1, 1, 1, 2]]


def test_classes():
    numbers = np.array([[1.0, 0.0, -0.0, 1e-40, np.inf, np.nan]], "f4")
    expected = {
        "finite": [1, 1, 1, 1, 0, 0],
        "infinite": [0, 0, 0, 0, 1, 0],
        "number": [1, 1, 1, 1, 1, 0],
        "notanumber": [0, 0, 0, 0, 0, 1],
        "normal": [1, 1, 1, 0, 0, 0],
        "subnormal": [0, 0, 0, 1, 0, 0],
    }
    for name, answer in expected.items():
        assert value_of(covered(f"testp.{name}.f32")).apply(numbers).tolist() == [[bool(x) for x in answer]]


@examples(20)
@given(st.data())
def test_moves_and_selections_keep_the_bits_of_a_nan(data):
    for kind, dtype in (("f32", "f4"), ("f64", "f8")):
        bits = data.draw(st.lists(floats(kind), min_size=8, max_size=8))
        moved = patterns(value_of(covered(f"mov.{kind}")), [array(dtype, bits)])
        assert [lane[0] for lane in moved] == bits
        chosen = patterns(value_of(covered(f"selp.{kind}")), [array(dtype, bits)] * 2 + [array("?", [1] * 8)])
        assert [lane[0] for lane in chosen] == bits
