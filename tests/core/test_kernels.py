"""The public names: what they promise beyond what tests/ops shows."""

import numpy as np
import pytest

from tinytorch.core import kernels
from tinytorch.core.tensor import Tensor


def test_time_kernel():
    result, microseconds = kernels.time_kernel(lambda a, b=0: a + b, 1, b=2)
    assert result == 3
    assert microseconds > 0
    with pytest.raises(ZeroDivisionError):
        kernels.time_kernel(lambda: 1 / 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_every_kernel_takes_tensors_and_arrays(dtype):
    x = np.arange(16).reshape(4, 4).astype(dtype)
    image, taps = x.reshape(1, 1, 4, 4), x[:3, :3].reshape(1, 1, 3, 3)
    for given in (x, Tensor(x)):
        assert np.array_equal(kernels.matmul_baseline(given, given).data, x @ x)
        assert np.array_equal(kernels.vectorized_matmul(given, given).data, x @ x)
        assert np.array_equal(kernels.cache_friendly_matmul(given, given, block_size=2).data, x @ x)
        assert np.array_equal(kernels.vectorized_relu(given).data, x)
        assert np.array_equal(kernels.parallel_relu(given, num_workers=2).data, x)
        results = kernels.vectorized_operations(given, given)
        assert np.array_equal(results["element_wise_add"].data, x + x)
        assert results["euclidean_distance"].item() == 0
        assert np.array_equal(kernels.quantized_matmul(given, given).data, x.astype(float) @ x.astype(float))
        assert np.array_equal(kernels.quantized_relu(given).data, x)
        assert kernels.cached_conv2d(Tensor(image), taps).shape == (1, 1, 2, 2)


def test_names():
    for name in kernels.__all__:
        assert getattr(kernels, name).__doc__
