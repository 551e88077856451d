"""Layers, activations and networks."""

import numpy as np
import pytest

from tests.arrays import FLOATS
from tinytorch.core.activations import ReLU, Sigmoid, Tanh
from tinytorch.core.cnn import Conv2D
from tinytorch.core.layers import Dense, matmul_naive
from tinytorch.core.networks import Sequential
from tinytorch.core.tensor import Tensor


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "float16"])
def test_matmul_naive(dtype):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 200, (3, 4)).astype(dtype), rng.integers(0, 200, (4, 5)).astype(dtype)
    with np.errstate(over="ignore"):
        exact = np.matmul(a, b)
    assert np.array_equal(matmul_naive(a, b), exact)
    assert matmul_naive(a, b).dtype == dtype
    assert type(matmul_naive(Tensor(a), b)) is Tensor
    assert matmul_naive(a[:0], b).shape == (0, 5)


@pytest.mark.parametrize(("left", "right"), [((2, 3), (2, 3)), ((3,), (3, 2)), ((1, 2, 3), (3, 2))])
def test_matmul_naive_errors(left, right):
    with pytest.raises(ValueError, match="shapes are"):
        matmul_naive(np.zeros(left), np.zeros(right))


def test_dense():
    layer = Dense(4, 3)
    assert (layer.weights.shape, layer.bias.shape) == ((4, 3), (3,))
    layer.bias = Tensor(np.array([1.0, 2.0, 3.0], np.float32))
    x = np.random.default_rng(0).standard_normal((5, 4), np.float32)
    exact = x @ layer.weights.data + layer.bias.data
    for given in (x, Tensor(x)):
        result = layer(given)
        assert type(result) is Tensor
        assert np.allclose(result.data, exact, atol=1e-5)
    assert Dense(4, 3, use_bias=False).bias is None
    assert Dense(4, 3, use_bias=False)(x).shape == (5, 3)
    with pytest.raises(ValueError, match=r"\(5, 4\) does not fit weight \(3, 4\)"):
        Dense(3, 4)(x)
    with pytest.raises(ValueError, match="output_size must be at least 1"):
        Dense(3, 0)
    assert repr(layer) == "Dense(4, 3, use_bias=True)"


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_activations(dtype):
    x = np.array([-1e4, -1.5, -0.0, 0.0, 0.7, 1e4, np.nan, np.inf, -np.inf]).astype(dtype)
    exact = x.astype(np.float64)
    with np.errstate(all="raise"):
        relu, sigmoid, tanh = (layer(x).data for layer in (ReLU(), Sigmoid(), Tanh()))
    for result, truth in (
        (relu, np.where(exact <= 0, 0, exact)),
        (sigmoid, 0.5 * (1 + np.tanh(exact / 2))),
        (tanh, np.tanh(exact)),
    ):
        assert result.dtype == dtype
        eps = float(np.finfo(np.float32).eps) if dtype.itemsize > 2 else 2**-7
        assert np.allclose(result.astype(np.float64), truth, rtol=4 * eps, atol=1e-7, equal_nan=True)


def test_activations_of_integers_and_large_arrays():
    assert ReLU()(np.array([-1, 2])).dtype == np.int64
    assert Sigmoid()([0, 0]).dtype == np.float64
    x = np.random.default_rng(0).standard_normal((70, 300))
    assert np.allclose(Tanh()(x).data, np.tanh(x), rtol=1e-15, atol=0)
    assert np.signbit(Tanh()(np.array([-0.0])).data)


def test_conv2d():
    layer = Conv2D(3, 5, (3, 2), stride=2, padding=(1, 0), bias=False)
    assert layer.weight.shape == (5, 3, 3, 2)
    assert layer.bias is None
    assert layer(np.zeros((2, 3, 8, 8), np.float32)).shape == (2, 5, 4, 4)
    assert Conv2D(1, 8, 3).bias.shape == (8,)
    with pytest.raises(ValueError, match="kernel_size must be at least 1"):
        Conv2D(1, 1, 0)
    with pytest.raises(TypeError, match="in_channels must be an integer"):
        Conv2D(1.0, 1, 3)
    assert "Conv2D(3, 5, (3, 2)" in repr(layer)


def test_sequential():
    network = Sequential([Dense(4, 8), ReLU(), lambda x: x * 2, Dense(8, 2), Sigmoid()])
    result = network(np.ones((6, 4), np.float32))
    assert type(result) is Tensor
    assert result.shape == (6, 2)
    assert np.all((result.data > 0) & (result.data < 1))
    assert Sequential([])([1.0]).shape == (1,)
    with pytest.raises(TypeError, match="layer 1 is a int"):
        Sequential([ReLU(), 3])
    assert "ReLU" in repr(network)


def test_packed_layers_compute_the_same():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4), np.float32)
    network = Sequential([Dense(4, 8), ReLU(), Dense(8, 3), Tanh(), Dense(3, 2)])
    first = network(x).data
    w = [network.layers[number].weights.data for number in (0, 2, 4)]
    assert np.allclose(first, np.tanh(np.maximum(x @ w[0], 0) @ w[1]) @ w[2], atol=1e-6)
    assert network.pack() is network
    assert np.allclose(network(x).data, first, atol=1e-6)
    assert np.abs(network.pack("int8")(x).data - first).max() < 0.05


def test_packing_a_view_copies_it():
    x, memory, layer = np.ones((1, 4), np.float32), np.ones((4, 6), np.float32), Dense(4, 3)
    layer.weights = Tensor(memory[:, :3])
    layer.pack()
    memory[...] = 100
    assert np.array_equal(layer(x).data, x @ layer.weights.data)


def test_packed_weights_cannot_go_stale():
    layer = Dense(3, 2).pack()
    with pytest.raises(ValueError, match="read-only"):
        layer.weights.data[0, 0] = 1
    layer.weights = Tensor(np.ones((3, 2), np.float32))
    assert np.array_equal(layer(np.ones((1, 3), np.float32)).data, [[3, 3]])
    layer.weights.data[...] = 2  # not packed: changes are seen
    assert np.array_equal(layer(np.ones((1, 3), np.float32)).data, [[6, 6]])
