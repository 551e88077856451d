"""The approximations: close to the math module's functions; special values as in the ISA's tables."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gpu.ptx.semantics.floats import evaluate
from tests.gpu.ptx.semantics.instructions import array, covered, examples, inputs, patterns, run
from tests.gpu.ptx.semantics.test_floats import floats
from tinytorch.gpu.ptx.semantics import value_of

EXACT = {
    "rcp": lambda x: 1 / x,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: 1 / math.sqrt(x),
    "sin": math.sin,
    "cos": math.cos,
    "lg2": math.log2,
    "ex2": lambda x: 2.0**x,
    "tanh": math.tanh,
}


@pytest.mark.parametrize("opcode", EXACT)
@examples(20)
@given(numbers=st.lists(st.floats(2**-20, 100, width=32), min_size=8, max_size=8))
def test_close_to_the_function(opcode, numbers):
    ours = run(value_of(covered(f"{opcode}.approx.f32")), np.array([numbers], "f4"))
    expected = np.array([[EXACT[opcode](x) for x in numbers]])
    np.testing.assert_allclose(ours, expected, rtol=2.0**-23, atol=2.0**-60)
    assert ours.dtype == np.float32


@pytest.mark.parametrize(("kind", "dtype", "error"), [("f16", "f2", 2.0**-11), ("bf16", "u2", 2.0**-8)])
def test_halves(kind, dtype, error):
    numbers = np.array([[0.5, 1.25, -3.0, 0.0]], "f4")
    for opcode, mode in (("ex2", "approx.ftz" if kind == "bf16" else "approx"), ("tanh", "approx")):
        value = value_of(covered(f"{opcode}.{mode}.{kind}"))
        given = numbers.astype("f2") if kind == "f16" else (numbers.view("u4") >> 16).astype("u2")
        result = run(value, given)
        assert result.dtype == np.dtype(dtype)
        plain = result if kind == "f16" else (result.astype("u4") << 16).view("f4")
        np.testing.assert_allclose(plain, [[EXACT[opcode](float(x)) for x in numbers[0]]], rtol=error)
        pair = value_of(covered(f"{opcode}.{mode}.{kind}x2"))
        both = run(pair, given.view("u2").astype("u4") << 16 | 0x3C00)
        np.testing.assert_array_equal(both >> 16, result.view("u2"))


INF, NAN = math.inf, math.nan
INPUTS = [-INF, -1.0, -1e-40, -0.0, 0.0, 1e-40, INF, NAN]
TABLES = {
    "rcp.approx.ftz.f32": [-0.0, -1.0, -INF, -INF, INF, INF, 0.0, NAN],
    "sqrt.approx.ftz.f32": [NAN, NAN, -0.0, -0.0, 0.0, 0.0, INF, NAN],
    "rsqrt.approx.ftz.f32": [NAN, NAN, -INF, -INF, INF, INF, 0.0, NAN],
    "lg2.approx.ftz.f32": [NAN, NAN, -INF, -INF, -INF, -INF, INF, NAN],
    "ex2.approx.ftz.f32": [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, INF, NAN],
    "sin.approx.ftz.f32": [NAN, np.float32(math.sin(-1)), -0.0, -0.0, 0.0, 0.0, NAN, NAN],
    "cos.approx.ftz.f32": [NAN, np.float32(math.cos(-1)), 1.0, 1.0, 1.0, 1.0, NAN, NAN],
    "tanh.approx.f32": [-1.0, np.float32(math.tanh(-1)), -1e-40, -0.0, 0.0, 1e-40, 1.0, NAN],
}


@pytest.mark.parametrize("name", TABLES)
def test_special_values(name):
    value = value_of(covered(name))
    ((ours,), expected) = run(value, np.array([INPUTS], "f4")), np.array(TABLES[name], "f4")
    np.testing.assert_array_equal(ours, expected)
    signs = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(ours)[signs], np.signbit(expected)[signs])
    assert {int(bits) for bits in ours.view("u4")[~signs]} <= {0x7FFFFFFF}


@examples(30)
@given(st.data())
def test_full_division_is_rounded_once(data):
    made, exact = covered("div.full.f32"), covered("div.rn.f32")
    value = value_of(made)
    bits = data.draw(inputs(value, lambda dtype: floats("f32")))
    ours = patterns(value, [array("f4", column) for column in bits])
    assert [lane[0] for lane in ours] == [evaluate(exact, lane) for lane in zip(*bits, strict=True)]


def test_approximate_division_by_a_large_number_is_zero():
    value = value_of(covered("div.approx.f32"))
    a = np.array([[1.0, -1.0, 1e38, INF, 2.0, 1.0, 0.0]], "f4")
    b = np.array([[2.0**127, 2.0**127, 3e38, 2.0**127, 2.0**126, INF, 0.0]], "f4")
    np.testing.assert_array_equal(run(value, a, b), [[0, -0.0, 0, NAN, 2.0**-125, 0, NAN]])


@pytest.mark.parametrize("opcode", ["rcp", "rsqrt"])
@examples(30)
@given(number=st.floats(2.0**-1000, 2.0**1000))
def test_the_start_of_newtons_method(opcode, number):
    """The lower word is zero, and what is left is right to 20 bits."""
    result = run(value_of(covered(f"{opcode}.approx.ftz.f64")), np.array([[number]]))
    assert int(result.view("u8")[0, 0]) & 0xFFFFFFFF == 0
    assert result[0, 0] == pytest.approx(EXACT[opcode](number), rel=2.0**-19)


def test_the_start_of_newtons_method_at_the_ends():
    value = value_of(covered("rcp.approx.ftz.f64"))
    ours = run(value, np.array([[0.0, -0.0, INF, -INF, 5e-324, -1e-310, 1.7e308, NAN]]))
    np.testing.assert_array_equal(ours, [[INF, -INF, 0.0, -0.0, INF, -INF, 0.0, NAN]])
