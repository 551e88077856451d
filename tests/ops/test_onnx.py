"""Quantization is ONNX's: equal to ONNX Runtime's own operators, halves and ends included."""

import numpy as np
import pytest

from tinytorch import ops

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

TYPES = {np.dtype(np.float32): "FLOAT", np.dtype(np.int8): "INT8", np.dtype(np.int32): "INT32"}


def run(operator, result, *arrays, **attributes):
    """Run one ONNX operator."""
    names = [f"input{i}" for i in range(len(arrays))]
    kinds = [getattr(onnx.TensorProto, TYPES[array.dtype]) for array in arrays]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, names, ["out"], **attributes)],
        "one operator",
        [
            onnx.helper.make_tensor_value_info(name, kind, array.shape)
            for name, kind, array in zip(names, kinds, arrays, strict=True)
        ],
        [onnx.helper.make_tensor_value_info("out", getattr(onnx.TensorProto, TYPES[np.dtype(result)]), None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, arrays, strict=True)))[0]


def values(rng, shape, scale):
    """Draw numbers, every other one a half of a step exactly where the scale is a power of two."""
    plain = (rng.standard_normal(shape) * 60 * scale).astype(np.float32)
    halves = ((rng.integers(-140, 140, shape) + 0.5) * scale).astype(np.float32)
    return np.where(rng.random(shape) < 0.5, plain, halves)


@pytest.mark.filterwarnings("ignore::tinytorch.ops.quantize.QuantizationWarning")
@pytest.mark.parametrize("zero_point", [0, 7, -128, 127])
@pytest.mark.parametrize("scale", [1.0, 0.25, 2.0**-20, 0.1, 0.0371, 3e-5, 1e30])
def test_quantize_linear(scale, zero_point):
    rng = np.random.default_rng(abs(zero_point))
    scale = np.float32(scale)
    x = values(rng, (37, 53), float(scale))
    x[0, :4] = [0, -0.0, 3e38, -3e38]
    theirs = run("QuantizeLinear", np.int8, x, np.array(scale), np.array(zero_point, np.int8))
    ours, _ = ops.quantize(x, scale, zero_point)
    assert np.array_equal(ours, theirs)
    back = run("DequantizeLinear", np.float32, ours, np.array(scale), np.array(zero_point, np.int8))
    assert np.array_equal(ops.dequantize(ours, scale, zero_point), back)


@pytest.mark.filterwarnings("ignore::tinytorch.ops.quantize.QuantizationWarning")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_by_axis(axis):
    rng = np.random.default_rng(axis)
    x = values(rng, (5, 6, 7), 0.5)
    channels = x.shape[axis]
    scales = (2.0 ** rng.integers(-4, 2, channels)).astype(np.float32)
    points = rng.integers(-128, 128, channels, np.int8)
    theirs = run("QuantizeLinear", np.int8, x, scales, points, axis=axis)
    ours, _ = ops.quantize(x, scales, points, axis)
    assert np.array_equal(ours, theirs)
    back = run("DequantizeLinear", np.float32, ours, scales, points, axis=axis)
    assert np.array_equal(ops.dequantize(ours, scales, points, axis), back)


@pytest.mark.parametrize("zero_point", [0, -5, 127])
def test_matmul_integer(zero_point):
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-128, 128, shape, np.int8) for shape in ((9, 70), (70, 33)))
    theirs = run("MatMulInteger", np.int32, a, b, np.array(zero_point, np.int8))
    assert np.array_equal(ops.matmul_integer(a, b, zero_point), theirs)


@pytest.mark.parametrize("zero_point", [0, 11, -128])
def test_static_layer(zero_point):
    """A layer with a scale known before: QuantizeLinear, MatMulInteger, and its scales."""
    rng = np.random.default_rng(4)
    scale = np.float32(0.125)
    x, weight = values(rng, (9, 70), 0.125), rng.standard_normal((70, 33)).astype(np.float32)
    packed = ops.pack_weight(weight, "int8", activations=(float(scale), zero_point))
    codes = run("QuantizeLinear", np.int8, x, np.array(scale), np.array(zero_point, np.int8))
    sums = run("MatMulInteger", np.int32, codes, packed.unpacked(), np.array(zero_point, np.int8))
    exact = sums * np.float64(scale) * packed.scales
    assert np.allclose(ops.linear(x, packed), exact, rtol=1e-6)
