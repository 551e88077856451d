"""Convolution against its declaration's reference, SciPy and PyTorch."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.arrays import FLOATS, INTEGERS, lay, layouts, seeds, values
from tinytorch import ops
from tinytorch.core.kernels import cached_conv2d
from tinytorch.ops.registry import mismatch, operations

CONV2D = operations()["conv2d"]
small = st.integers(1, 5)


@given(seeds, st.integers(0, 3), small, st.integers(1, 12), st.integers(1, 12), small, small, small,
       st.integers(1, 3), st.integers(0, 3), st.sampled_from([*FLOATS, *INTEGERS]), layouts,
       st.sampled_from([0.0, 0.05]))  # fmt: skip
def test_against_reference(seed, n, c, h, w, o, kh, kw, stride, padding, dtype, layout, special):
    assume(h + 2 * padding >= kh and w + 2 * padding >= kw)
    rng = np.random.default_rng(seed)
    x = values(rng, (n, c, h, w), dtype, special)
    weight, bias = values(rng, (o, c, kh, kw), dtype, special), values(rng, (o,), dtype)
    result = cached_conv2d(lay(x, layout), lay(weight, layout), bias, stride, padding).data
    assert result.dtype == dtype
    with np.errstate(all="ignore"):
        inputs = x, weight, bias, (stride, stride), (padding, padding)
        exact, bound = CONV2D.reference(*inputs), CONV2D.bound(*inputs)
    assert mismatch(result, exact, bound) is None


def test_against_scipy():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 3, 17, 19)), rng.standard_normal((4, 3, 5, 3))
    result = cached_conv2d(x, weight).data
    for n in range(2):
        for o in range(4):
            exact = sum(scipy.signal.correlate2d(x[n, c], weight[o, c], mode="valid") for c in range(3))
            assert np.allclose(result[n, o], exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stride", [1, 2, (2, 1), (1, 3)])
@pytest.mark.parametrize("padding", [0, 1, (2, 0), (0, 3)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_against_pytorch(dtype, stride, padding, with_bias):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    rng = np.random.default_rng(0)
    x, weight = (
        rng.standard_normal((2, 16, 23, 21)).astype(dtype),
        rng.standard_normal((7, 16, 3, 4)).astype(dtype),
    )
    bias = rng.standard_normal(7).astype(dtype) if with_bias else None
    tensors = [None if v is None else torch.from_numpy(v) for v in (x, weight, bias)]
    exact = torch.nn.functional.conv2d(*tensors, stride=stride, padding=padding).numpy()
    result = cached_conv2d(x, weight, bias, stride, padding).data
    assert result.shape == exact.shape
    # Both lie within K eps |x||w| of the truth; K is 192 and |x||w| below 192 * 4 * 4.
    assert np.allclose(result, exact, rtol=0, atol=2 * 192 * np.finfo(dtype).eps * 200)


def test_one_image_without_a_batch():
    x, weight = np.ones((3, 5, 5), np.float32), np.ones((2, 3, 3, 3), np.float32)
    assert cached_conv2d(x, weight).shape == (2, 3, 3)
    out = np.zeros((2, 3, 3), np.float32)
    assert ops.conv2d(x, weight, out=out) is out
    assert np.all(out == 27)
    for bad, error in (
        (np.zeros((2, 3, 3), ">f4"), ValueError),
        (np.zeros((2, 3)), ValueError),
        (out.tolist(), TypeError),
    ):
        with pytest.raises(error, match="out"):
            ops.conv2d(x, weight, out=bad)


def test_many_tiles_on_any_number_of_threads():
    import sys

    convolve = sys.modules["tinytorch.ops.conv2d"].convolve
    rng = np.random.default_rng(0)
    x, weight = (
        rng.standard_normal((3, 40, 30, 30), np.float32),
        rng.standard_normal((20, 40, 3, 3), np.float32),
    )
    first = convolve(x, weight, None, (1, 1), (1, 1), threads=1)
    for threads in (2, 3, 8):
        assert np.array_equal(convolve(x, weight, None, (1, 1), (1, 1), threads=threads), first)


def test_activation():
    x, weight, bias = np.ones((1, 1, 3, 3)), np.array([1.0, -1.0]).reshape(2, 1, 1, 1), np.array([0.5, 0.5])
    assert np.array_equal(ops.conv2d(x, weight, bias, activation="relu")[0, :, 0, 0], [1.5, 0])


@pytest.mark.parametrize(
    ("x", "weight", "options", "error", "text"),
    [
        ((1, 2, 5, 5), (3, 4, 3, 3), {}, ValueError, "channels differ"),
        ((1, 2, 2, 2), (3, 2, 3, 3), {}, ValueError, "does not fit"),
        ((5, 5), (3, 2, 3, 3), {}, ValueError, "must be"),
        ((1, 2, 5, 5), (3, 2, 3), {}, ValueError, "must be"),
        ((1, 2, 5, 5), (3, 2, 0, 3), {}, ValueError, "does not fit"),
        ((1, 2, 5, 5), (3, 2, 3, 3), {"stride": 0}, ValueError, "stride must be at least 1"),
        ((1, 2, 5, 5), (3, 2, 3, 3), {"stride": 2**70}, ValueError, "stride must be below"),
        ((1, 2, 5, 5), (3, 2, 3, 3), {"padding": -1}, ValueError, "padding must be at least 0"),
        ((1, 2, 5, 5), (3, 2, 3, 3), {"stride": 1.5}, TypeError, "stride must be an integer"),
        ((1, 2, 5, 5), (3, 2, 3, 3), {"padding": (1, 2, 3)}, TypeError, "padding must be an integer"),
        ((1, 2, 5, 5), (3, 2, 3, 3), {"bias": np.zeros(2)}, ValueError, "bias has shape"),
    ],
)
def test_errors(x, weight, options, error, text):
    with pytest.raises(error, match=text):
        cached_conv2d(np.zeros(x), np.zeros(weight), **options)
