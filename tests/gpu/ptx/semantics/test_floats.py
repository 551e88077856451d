"""Float arithmetic, bit by bit, against exact fractions rounded by definition."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gpu.ptx.semantics.floats import LAYOUTS, evaluate, read
from tests.gpu.ptx.semantics.instructions import array, covered, examples, inputs, instruction, patterns
from tests.gpu.ptx.semantics.test_integers import each
from tinytorch.gpu.ptx.program import Register
from tinytorch.gpu.ptx.semantics import value_of

RND = "rn rz rm rp"
NAMES = [
    *each(
        "add sub mul", "f32 ftz.f32 sat.f32 ftz.sat.f32 f64 f16 ftz.f16 sat.f16 rn.ftz.sat.f16x2 bf16 bf16x2"
    ),
    *each("add sub mul", RND, "f32 ftz.f32 f64 f32x2"),
    *each("fma", RND, "f32 ftz.f32 sat.f32 f64 f32x2"),
    *each("fma.rn", "f16 ftz.f16 sat.f16 relu.f16 f16x2 relu.f16x2 bf16 relu.bf16 bf16x2"),
    *each("mad", "rn rp", "f32 f64"),
    *each("div rcp sqrt", RND, "f32 ftz.f32 f64"),
    *each("abs neg", "f32 ftz.f32 f64 f16 ftz.f16 f16x2 bf16 bf16x2"),
    *each("copysign", "f32 f64"),
    *each("min max", "f32 ftz.f32 NaN.f32 ftz.NaN.f32 xorsign.abs.f32 NaN.xorsign.abs.f32 f64"),
    *each("min max", "f16 ftz.f16 NaN.f16 xorsign.abs.f16 f16x2 NaN.f16x2"),
    *each("min max", "bf16 NaN.bf16 xorsign.abs.bf16 bf16x2 NaN.xorsign.abs.bf16x2"),
]


@cache
def floats(kind: str) -> "st.SearchStrategy[int]":
    """Return bit patterns of a format: at the ends, any, with few bits, and between narrower ones."""
    layout = LAYOUTS[kind]
    bias = (1 << layout.exponent - 1) - 1
    middle = bias << layout.fraction
    near = middle | 1, middle - 1, middle | 1 << layout.fraction - 1
    ends = [
        0,
        1,
        2,
        layout.infinity,
        layout.infinity - 1,
        layout.infinity + 1,
        layout.sign - 1,
        middle,
        *near,
    ]
    ends += [1 << layout.fraction, (1 << layout.fraction) - 1, (1 << layout.fraction) + 1]
    reach = min(30, bias - 1)
    few = st.builds(
        lambda exponent, top, low: (bias + exponent) << layout.fraction | top << layout.fraction - 3 | low,
        st.integers(-reach, reach),
        st.integers(0, 7) if layout.fraction >= 3 else st.just(0),
        st.sampled_from([0, 1, (1 << layout.fraction - 3) - 1]),
    )
    deep = st.builds(lambda exponent: exponent << layout.fraction, st.integers(0, 2 * bias))
    ties = st.builds(  # for formats with fewer bits, and next to them
        lambda code, bit, off: ((code >> bit | 1) << bit) + off,
        st.integers(1 << layout.fraction, layout.infinity - 1),
        st.integers(0, layout.fraction - 1),
        st.integers(-1, 1),
    )
    codes = st.one_of(st.sampled_from(ends), st.integers(0, layout.sign - 1), few, few, deep, ties)
    return st.builds(lambda code, sign: code | (layout.sign if sign else 0), codes, st.booleans())


@cache
def packed(kind: str) -> "st.SearchStrategy[int]":
    scalar = kind.removesuffix("x2")
    if scalar == kind:
        return floats(kind)
    width = LAYOUTS[scalar].sign.bit_length()
    return st.builds(lambda low, high: low | high << width, floats(scalar), floats(scalar))


def same(ours: int, theirs: int, kind: str) -> bool:
    """Return whether results are equal; the bits of a NaN are said for all formats but f64."""
    if kind == "f64" and math.isnan(read(theirs, kind)[0]):
        return math.isnan(read(ours, kind)[0])
    return ours == theirs


@pytest.mark.parametrize("name", NAMES)
@examples(4)
@given(st.data())
def test_rounded_once(name, data):
    made = covered(name)
    value, kind = value_of(made), made.modifiers[-1]
    bits = data.draw(inputs(value, lambda dtype: packed(kind), lanes=12))
    arrays = [array(dtype, column) for dtype, column in zip(value.sources, bits, strict=True)]
    for (ours,), *lane in zip(patterns(value, arrays), *bits, strict=True):
        theirs = evaluate(made, lane)
        assert same(ours, theirs, kind), f"{name} of {[hex(x) for x in lane]}: {ours:#x}, not {theirs:#x}"


@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_fused_multiply_add_near_ties(kind):
    """Products that are midpoints, and addends far below or above them: where two roundings would differ."""
    layout = LAYOUTS[kind]
    bias = (1 << layout.exponent - 1) - 1
    rng = np.random.default_rng(3)
    tiny = rng.integers(1, 2 * bias, 400)
    odd = 2 * rng.integers(0, 1 << layout.fraction - 1, 400) + 1  # times 1.5: the last bit is half a place
    a = (bias << layout.fraction) | odd
    b = np.full(400, bias << layout.fraction | 1 << layout.fraction - 1)
    c = (tiny << layout.fraction) | (rng.integers(0, 2, 400) * layout.sign if kind != "f64" else 0)
    bits = [[int(x) for x in column] for column in (a, b, c)]
    made = instruction(f"fma.rn.{kind}", *[Register("%r", "b32")] * 4)
    value = value_of(made)
    arrays = [array(dtype, column) for dtype, column in zip(value.sources, bits, strict=True)]
    results = [result for (result,) in patterns(value, arrays)]
    assert results == [evaluate(made, lane) for lane in zip(*bits, strict=True)]


@pytest.mark.parametrize("rounding", RND.split())
def test_an_infinite_addend_and_a_product_that_is_too_large(rounding):
    """The product is a number, as large as it may be: the sum is the addend."""
    value = value_of(covered(f"fma.{rounding}.f64"))
    infinities = np.array([[np.inf, -np.inf]])
    for a in (-1e200, 1e200):
        factors = np.full((1, 1), a), np.full((1, 1), 1e300)  # as numbers in the text are given
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(value.apply(*factors, infinities), infinities)
            assert np.isnan(value.apply(np.full((1, 1), np.inf), factors[0], -np.inf * factors[0])).all()


def test_three_operands():
    made = instruction("max.f32", *[Register("%r", "b32")] * 4)
    value = value_of(made)
    a, b, c = (
        np.array([row], "f4") for row in ([1, np.nan, 5, -0.0], [2, np.nan, np.nan, -0.0], [3, 1, 4, 0.0])
    )
    np.testing.assert_array_equal(value.apply(a, b, c), [[3, 1, 5, 0]])


@examples(30)
@given(st.lists(floats("bf16"), min_size=8, max_size=8), st.lists(floats("f32"), min_size=8, max_size=8))
def test_mixed_precision_is_float32_after_widening(narrow, wide):
    a, c = array("u2", narrow), array("f4", wide)
    widened = array("f4", [bits << 16 for bits in narrow])
    for name, plain in (("add.rz.f32.bf16", "add.rz.f32"), ("fma.rp.sat.f32.bf16", "fma.rp.sat.f32")):
        mixed, single = value_of(covered(name)), value_of(covered(plain))
        count = len(mixed.sources) - 1
        assert patterns(mixed, [a] * count + [c]) == patterns(single, [widened] * count + [c])
