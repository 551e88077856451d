"""Dense layers: activations, packed weights, int8."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.arrays import lay, layouts, seeds, sizes, values
from tinytorch.ops import PackedWeight, linear, pack_weight, quantize
from tinytorch.ops.packed import panel_width
from tinytorch.ops.registry import mismatch, operations, product_bound, rounding
from tinytorch.simd.target import chosen

LINEAR = operations()["linear"]
EXACT = {
    None: lambda v: v,
    "relu": lambda v: np.where(v <= 0, 0, v),
    "sigmoid": lambda v: 0.5 * (1 + np.tanh(v / 2)),
    "tanh": np.tanh,
    "silu": lambda v: v * 0.5 * (1 + np.tanh(v / 2)),
    "gelu": lambda v: 0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3))),
}


@given(seeds, sizes, sizes, sizes, st.sampled_from(["float32", "float64", "float16"]), layouts,
       st.sampled_from(sorted(EXACT, key=str)), st.booleans(), st.booleans())  # fmt: skip
def test_against_reference(seed, m, k, n, dtype, layout, activation, packed, with_bias):
    rng = np.random.default_rng(seed)
    x, weight = values(rng, (m, k), np.dtype(dtype)), values(rng, (k, n), np.dtype(dtype))
    bias = values(rng, (n,), np.dtype(dtype)) if with_bias else None
    offset = 0 if bias is None else bias.astype(np.float64)
    before = x.astype(np.float64) @ weight.astype(np.float64) + offset
    result = linear(
        lay(x, layout), pack_weight(lay(weight, layout)) if packed else lay(weight, layout), bias, activation
    )
    assert result.dtype == dtype
    exact = EXACT[activation](before)
    bound = product_bound(x, weight, np.dtype(dtype), k + 1) + rounding(np.abs(offset), np.dtype(dtype))
    # The derivative of every activation is below 1.2, and each costs a few roundings of its own.
    bound = 1.2 * bound + 8 * rounding(np.abs(exact) + np.abs(before), np.dtype(dtype))
    assert mismatch(result, exact, np.broadcast_to(bound, exact.shape)) is None


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "silu", "gelu"])
def test_activations_at_the_ends(activation):
    x = np.array([[-1e4], [1e4], [np.nan], [0.0]], np.float32)
    with np.errstate(all="raise"):
        result = linear(x, np.ones((1, 1), np.float32), activation=activation).reshape(-1)
    low, high = {"sigmoid": (0, 1), "tanh": (-1, 1)}.get(activation, (0, 1e4))
    assert result[0] == low
    assert result[1] == high
    assert np.isnan(result[2])
    assert result[3] == (0.5 if activation == "sigmoid" else 0)


def test_leading_dimensions():
    x, weight = np.ones((2, 3, 4)), np.ones((4, 5))
    assert linear(x, weight).shape == (2, 3, 5)
    assert linear(x, pack_weight(weight)).shape == (2, 3, 5)
    assert linear(np.ones(4), weight).shape == (5,)
    assert linear(np.ones(4), pack_weight(weight, "int8")).shape == (5,)


def test_integers():
    x, weight = np.arange(6).reshape(2, 3), np.array([[1, -1]] * 3)
    assert np.array_equal(linear(x, weight, activation="relu"), [[3, 0], [12, 0]])
    assert linear(x.astype(np.int8), weight.astype(np.int8)).dtype == np.int8
    with pytest.raises(TypeError, match="floating-point"):
        linear(x, weight, activation="gelu")
    # a wrapped sum is negative to ReLU, as it is to NumPy
    hundred = np.full((1, 2), 100, np.int8)
    assert linear(hundred, np.ones((2, 1), np.int8), activation="relu")[0, 0] == 0


def test_out():
    x, weight = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    for w in (weight, pack_weight(weight), pack_weight(weight, "int8")):
        out = np.zeros((2, 4), np.float32)
        assert linear(x, w, out=out) is out
        assert np.allclose(out, 3)
        with pytest.raises(ValueError, match="out has shape"):
            linear(x, w, out=np.zeros((4, 2), np.float32))
        with pytest.raises(ValueError, match="out has dtype"):
            linear(x, w, out=np.zeros((2, 4)))


@pytest.mark.parametrize(
    "dtype", [None, "float32", "float64", "float16", "bfloat16", "int8", np.float64, np.dtype(np.int8)]
)
def test_packed_weight_is_a_value(dtype):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((30, 300), np.float32)
    kept = weight.copy()
    packed = pack_weight(weight, dtype)
    assert packed.shape == (30, 300)
    expected = {
        None: 4,
        "float32": 4,
        "float64": 8,
        "float16": 2,
        "bfloat16": 2,
        "int8": 1,
        np.float64: 8,
    }.get(dtype, 1)
    wide = np.dtype(np.float32) if expected == 1 else packed.dtype
    columns = -(-300 // panel_width(wide)) * panel_width(wide)  # the last panel is filled up
    depth = 30 + -30 % chosen().group  # int8 in whole groups; then scales, and the sums of columns
    int8 = depth * columns + 300 * 4 + columns * 4
    assert packed.nbytes == (int8 if expected == 1 else expected * 30 * columns)
    x = rng.standard_normal((3, 30), np.float32)
    first = linear(x, packed)
    weight[:] = 0  # what was packed is a copy
    assert np.array_equal(linear(x, packed), first)
    again = pickle.loads(pickle.dumps(packed))
    assert np.array_equal(linear(x, again), first)
    assert np.allclose(first, x @ kept, atol=0.3 if expected == 1 else 0.05)
    for array in (part for w in (packed, again) for part in w.arrays().values()):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    with pytest.raises(AttributeError):
        packed.shape = (1, 1)
    assert isinstance(again, PackedWeight)
    assert "nbytes" in repr(packed)


def test_int8_quantizes_per_channel_and_per_row():
    """A large row or channel costs the others nothing."""
    rng = np.random.default_rng(0)
    x, weight = (
        rng.standard_normal((4, 64)).astype(np.float32),
        rng.standard_normal((64, 8)).astype(np.float32),
    )
    plain = linear(x, pack_weight(weight, "int8"))
    x2, weight2 = x.copy(), weight.copy()
    x2[0] *= 1e6
    weight2[:, 0] *= 1e6
    scaled = linear(x2, pack_weight(weight2, "int8"))
    assert np.allclose(scaled[1:, 1:], plain[1:, 1:], rtol=1e-6)


@given(seeds, st.integers(0, 9), st.integers(0, 300), sizes)
def test_int8_is_exact_integer_arithmetic(seed, m, k, n):
    rng = np.random.default_rng(seed)
    inputs = (
        values(rng, (m, k), np.dtype(np.float32)),
        values(rng, (k, n), np.dtype(np.float32)),
        values(rng, (n,), np.dtype(np.float32)),
    )
    rung = LINEAR.ladder["int8, packed weights"]
    assert mismatch(rung.run(*inputs), rung.reference(*inputs), rung.bound(*inputs)) is None
    codes, scales = quantize(inputs[1], axis=1)
    assert codes.dtype == np.int8
    assert scales.shape == (n,)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.zeros((2, 3)), np.zeros((4, 5))), ValueError, r"\(2, 3\) does not fit weight \(4, 5\)"),
        ((np.zeros((2, 3)), np.zeros(3)), ValueError, "does not fit"),
        ((np.zeros(()), np.zeros((3, 3))), ValueError, "does not fit"),
        ((np.zeros((2, 3)), np.zeros((3, 5)), np.zeros(4)), ValueError, r"bias has shape \(4,\)"),
        (
            (np.zeros((2, 3)), np.zeros((3, 5)), None, "swish"),
            ValueError,
            "unknown activation 'swish'; there are",
        ),
        ((np.zeros((2, 3)), np.zeros((3, 5)), None, 3), TypeError, "activation must be a name"),
        ((np.full((2, 3), np.nan), pack_weight(np.ones((3, 5)), "int8")), ValueError, "NaN or infinite"),
    ],
)
def test_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        linear(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.zeros(3),), ValueError, "shape"),
        ((np.zeros((3, 3)), "int16"), TypeError, "int16"),
        ((np.zeros((3, 3)), "junk"), TypeError, "cannot pack a weight as 'junk'"),
        ((np.zeros((3, 3)), 8), TypeError, "cannot pack a weight as 8"),
        ((np.zeros((3, 3), np.int32),), TypeError, "int32"),
        ((np.array([[np.inf]]), "int8"), ValueError, "NaN or infinite"),
    ],
)
def test_pack_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        pack_weight(*arguments)


@pytest.mark.parametrize("size", [1e300, 1e-60])
def test_int8_weights_that_float32_does_not_hold(size):
    packed = pack_weight(np.full((2, 2), size), "int8")
    assert np.array_equal(linear(np.zeros((1, 2)), packed), np.zeros((1, 2)))
    assert np.allclose(linear(np.full((1, 2), 1 / size), packed), 2)
