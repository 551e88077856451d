"""Quantization: ONNX QuantizeLinear, and kernels that compute in int8."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.arrays import FLOATS, INTEGERS, SUPPORTED, lay, layouts, seeds, sizes, values
from tinytorch.core.kernels import QuantizationWarning, quantized_matmul, quantized_relu
from tinytorch.ops import dequantize, quantize

quietly = pytest.mark.filterwarnings("ignore::tinytorch.ops.quantize.QuantizationWarning")


def codes_of(x, scale, zero_point=0):
    """ONNX QuantizeLinear, in the precision that NumPy divides in."""
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64 if x.dtype.kind in "iu" else np.float32)
    return np.clip(np.rint(x / x.dtype.type(scale)) + zero_point, -128, 127).astype(np.int64)


@quietly
@given(seeds, st.lists(sizes, max_size=2).map(tuple), st.sampled_from(SUPPORTED), layouts,
       st.sampled_from([0.01, 0.05, 1.0, 3.0, 1e30]), st.integers(-128, 127))  # fmt: skip
def test_quantize(seed, shape, dtype, layout, scale, zero_point):
    x = values(np.random.default_rng(seed), shape, dtype)
    codes, back = quantize(lay(x, layout), scale, zero_point)
    assert codes.dtype == np.int8
    assert codes.shape == shape
    assert np.array_equal(codes, codes_of(x, scale, zero_point))
    assert back == np.float32(scale) or back == scale


def test_rounds_half_to_even():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.49, -127.5, -128.5])
    assert np.array_equal(quantize(x, 1.0)[0], [0, 2, 2, 0, -2, -2, 126, 127, -128, -128])
    assert np.array_equal(quantize(x.astype(np.float32), 1.0)[0], [0, 2, 2, 0, -2, -2, 126, 127, -128, -128])


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=str)
def test_saturates_with_one_warning_and_never_wraps(dtype):
    x = np.array([0, 100, 127, 120], dtype)
    with pytest.warns(QuantizationWarning) as seen:
        codes, _ = quantize(x, 0.5)
    assert np.array_equal(codes, [0, 127, 127, 127])
    assert len(seen) == 1
    assert "3 of 4 values of x" in str(seen[0].message)
    fitting = float(str(seen[0].message).split("scale of ")[1].split()[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize(x, fitting)


def test_calibration_is_max_abs():
    x = np.array([-2.54, 0.1], np.float64)
    codes, scale = quantize(x)
    assert scale == 2.54 / 127
    assert codes[0] == -127
    assert quantize(np.zeros(3))[1] == 1.0
    assert quantize(np.zeros(0))[1] == 1.0
    assert quantize(np.array([-(2**63)], np.int64))[0][0] == -127


@pytest.mark.parametrize("quanta", [1, 50, 100, 127, 128, 190, 191, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_calibration_of_subnormals_never_saturates(quanta, dtype):
    x = np.array([quanta, -quanta], dtype) * np.finfo(dtype).smallest_subnormal
    codes, scale = quantize(x)
    assert scale > 0
    assert np.array_equal(codes, np.rint(x / scale))
    assert 0 < codes[0] <= 127


def test_per_axis():
    x = np.array([[1.0, -10.0, 0.0], [127.0, 5.0, 0.0]])
    codes, scales = quantize(x, axis=1)
    assert np.allclose(scales, [1, 10 / 127, 1])
    assert np.array_equal(codes, np.rint(x / scales))
    same, _ = quantize(x, axis=-1)
    assert np.array_equal(codes, same)
    assert np.allclose(dequantize(codes, scales, axis=1), x, atol=scales.max() / 2)
    points = np.array([1, 2, 3])
    shifted, _ = quantize(x, scales * 2, points, axis=1)
    assert np.allclose(dequantize(shifted, scales * 2, points, axis=1), x, atol=scales.max())
    wide = np.random.default_rng(0).standard_normal((3, 20000, 2))
    codes, scales = quantize(wide, axis=1)
    assert np.array_equal(codes, np.rint(wide / scales[None, :, None]))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([1.0], 0), ValueError, "scale must be finite and positive, not 0"),
        (([1.0], -1.0), ValueError, "finite and positive"),
        (([1.0], np.nan), ValueError, "finite and positive"),
        (([1.0], np.inf), ValueError, "finite and positive"),
        (([1.0], "big"), TypeError, "must be a number"),
        (([1.0], [1.0, 2.0]), ValueError, "scale has shape"),
        (([1.0], [[1.0]]), ValueError, "1-D"),
        (([np.nan], 1.0), ValueError, "1 values that are NaN or infinite"),
        (([np.inf, -np.inf],), ValueError, "2 values that are NaN or infinite"),
        (([1.0], 1.0, 128), ValueError, "zero_point must be in"),
        (([1.0], 1.0, 0.5), TypeError, "zero_point must be an integer"),
        (([1.0], None, 3), ValueError, "zero point needs a scale"),
        (([1.0], 1.0, 0, 1), ValueError, "axis must be below 1"),
        (([1.0], 1.0, 0, -2), ValueError, "axis must be at least -1"),
        (([1.0], 1.0, 0, "rows"), TypeError, "axis must be"),
        (([1.0, 2.0], [1.0, 1.0, 1.0], 0, 0), ValueError, "2 of them"),
    ],
)
def test_quantize_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        quantize(*arguments)


def test_dequantize_errors():
    with pytest.raises(TypeError, match="quantized values are integers"):
        dequantize(np.zeros(3), 1.0)
    with pytest.raises(ValueError, match="finite and positive"):
        dequantize(np.zeros(3, np.int8), 0.0)


@pytest.mark.parametrize("scale", [1e-50, 1e-320, 1e300])
def test_scales_that_float32_does_not_hold(scale):
    with pytest.warns(QuantizationWarning) if scale < 1 else warnings.catch_warnings():
        codes, _ = quantize(np.array([1.0, 0.0, -1.0], np.float32), scale)
    assert np.array_equal(codes, [127, 0, -128] if scale < 1 else [0, 0, 0])


def test_relu_at_a_scale_that_float32_does_not_hold():
    assert np.array_equal(quantized_relu(np.array([1.0, -1.0], np.float32), 1e300).data, [0, 0])


@quietly
@given(seeds, sizes, sizes, sizes, st.sampled_from(SUPPORTED), layouts, st.sampled_from([0.03, 1.0, 2.5]),
       st.sampled_from([0.02, 1.0, None]))  # fmt: skip
def test_quantized_matmul(seed, m, k, n, dtype, layout, scale_a, scale_b):
    rng = np.random.default_rng(seed)
    a, b = values(rng, (m, k), dtype), values(rng, (k, n), dtype)
    result = quantized_matmul(lay(a, layout), lay(b, layout), scale_a, scale_b).data
    assert result.dtype == (np.float64 if dtype == np.float64 else np.float32)
    used = scale_b or float(quantize(b)[1])
    # an integer's calibrated scale is kept in float64 inside; its codes are what counts
    right = codes_of(b, used) if scale_b else quantize(b)[0].astype(np.int64)
    exact = (codes_of(a, scale_a) @ right).astype(np.float64)
    assert np.allclose(result, exact * scale_a * used, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "shapes",
    [
        ((3,), (3,)),
        ((5, 2, 3), (5, 3, 4)),
        ((2, 3), (5, 3, 4)),
        ((4, 1, 2, 3), (6, 3, 9)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
    ],
)
def test_quantized_matmul_follows_matmul_s_shapes(shapes):
    a, b = (np.random.default_rng(0).integers(-100, 100, shape).astype(np.float64) for shape in shapes)
    assert np.array_equal(quantized_matmul(a, b).data, np.matmul(a, b))


def test_no_k_overflows():
    """-128 * -128 * 131072 is 2**31, one more than an int32 holds."""
    for k in (131_072, 300_001):
        a, b = np.full((1, k), -128.0), np.full((k, 2), -128.0)
        assert np.all(quantized_matmul(a, b).data == 16384.0 * k)


def test_quantized_matmul_warns_once_for_both():
    with pytest.warns(QuantizationWarning) as seen:
        result = quantized_matmul(np.array([[1000.0]]), np.array([[-500.0, 1.0]]))
    assert len(seen) == 1
    assert "1 of 1 values of A" in str(seen[0].message)
    assert "1 of 2 values of B" in str(seen[0].message)
    assert np.array_equal(result.data, [[127 * -128, 127]])
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantized_matmul(np.array([[1000.0]]), np.array([[-500.0, 1.0]]), None, None)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
@pytest.mark.parametrize("which", ["scale_A", "scale_B"])
def test_quantized_matmul_bad_scale(scale, which):
    with pytest.raises(ValueError, match=f"{which} must be finite and positive"):
        quantized_matmul(np.ones((2, 2)), np.ones((2, 2)), **{which: scale})


def test_quantized_matmul_errors():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 3\)"):
        quantized_matmul(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="B holds 1 values"):
        quantized_matmul(np.ones((2, 2)), np.array([[1.0, np.inf], [0, 0]]))


@quietly
@given(
    seeds,
    st.lists(sizes, max_size=2).map(tuple),
    st.sampled_from(SUPPORTED),
    layouts,
    st.sampled_from([0.03, 1.0]),
)
def test_quantized_relu(seed, shape, dtype, layout, scale):
    x = values(np.random.default_rng(seed), shape, dtype)
    result = quantized_relu(lay(x, layout), scale).data
    assert result.dtype == (np.float64 if dtype == np.float64 else np.float32)
    exact = np.maximum(codes_of(x, scale), 0) * scale
    assert np.array_equal(result, exact.astype(result.dtype))


def test_quantized_relu_calibrates_and_warns():
    assert np.allclose(quantized_relu(np.array([-3.0, 1.5]), scale=None).data, [0, 1.5], atol=0.02)
    with pytest.warns(QuantizationWarning, match="1 of 2 values of x"):
        quantized_relu(np.array([-3.0, 1500.0]))
    with pytest.raises(ValueError, match="scale must be finite"):
        quantized_relu(np.ones(3), scale=0)


def test_scales_whose_product_is_out_of_range():
    assert quantized_matmul([[0.0]], [[0.0]], 1e200, 1e200).item() == 0
    assert np.isclose(quantized_matmul([[3e-200]], [[2e200]], 1e-200, 1e200).item(), 6)
    with pytest.raises(ValueError, match="scale_A must be finite"):
        quantized_matmul([[1.0]], [[1.0]], 10**400)


def test_a_given_scale_is_not_rounded():
    a, b = np.ones((1, 1), np.float32), np.ones((1, 1))
    assert np.isclose(quantized_matmul(a, b, 0.1, 0.1).item(), 1, rtol=1e-15)


def test_advice_knows_the_zero_point():
    for x, points, axis in (([10.0], 100, None), ([-10.0], -100, None), ([[10.0, -3.0]], [100, -120], 1)):
        with pytest.warns(QuantizationWarning, match="would have fitted") as seen:
            quantize(x, 0.001, points, axis)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            quantize(x, float(str(seen[0].message).split("scale of ")[1].split()[0]), points, axis)
    with pytest.warns(QuantizationWarning, match="no scale would have fitted with this zero point"):
        quantize([10.0], 0.1, 127)


@pytest.mark.parametrize("scale", [np.float64(0.5), np.array(0.5), np.array(0.5, ">f8")])
def test_a_float64_scale_gives_float64(scale):
    assert dequantize(np.ones(2, np.int8), scale).dtype == np.float64
    assert dequantize(np.ones(2, np.int8), np.float32(scale)).dtype == np.float32
