"""Every kernel from eight Python threads at once. TINYTORCH_STRESS_SECONDS sets how long (3)."""

import os
import time

import numpy as np

from tests.threads import in_threads
from tinytorch import ops
from tinytorch.core import kernels

SECONDS = float(os.environ.get("TINYTORCH_STRESS_SECONDS", "3"))


def _calls():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((150, 160), np.float32), rng.standard_normal((160, 300), np.float32)
    x = rng.standard_normal(200_000, np.float32)
    image, taps = (
        rng.standard_normal((2, 8, 20, 20), np.float32),
        rng.standard_normal((8, 8, 3, 3), np.float32),
    )
    whole = rng.integers(-9, 9, (40, 50))
    packed, packed8 = ops.pack_weight(b), ops.pack_weight(b, "int8")
    return {
        "baseline": lambda: kernels.matmul_baseline(a, b),
        "vectorized_matmul": lambda: kernels.vectorized_matmul(a, b),
        "float64": lambda: kernels.vectorized_matmul(a.astype(float), b),
        "integer": lambda: kernels.vectorized_matmul(whole, whole.T),
        "cache_friendly_matmul": lambda: kernels.cache_friendly_matmul(a, b, 24),
        "vectorized_relu": lambda: kernels.vectorized_relu(x),
        "parallel_relu": lambda: kernels.parallel_relu(x),
        "vectorized_operations": lambda: kernels.vectorized_operations(x, x)["dot_product"],
        "batch": lambda: kernels.parallel_batch_processing([a, a.T], kernels.vectorized_relu)[1],
        "quantized_matmul": lambda: kernels.quantized_matmul(a, b, None, None),
        "quantized_relu": lambda: kernels.quantized_relu(x, None),
        "cached_conv2d": lambda: kernels.cached_conv2d(image, taps, padding=1),
        "linear": lambda: ops.linear(a, packed, activation="gelu"),
        "linear int8": lambda: ops.linear(a, packed8, activation="relu"),
        "quantize": lambda: ops.quantize(x, axis=0)[0],
        "dequantize": lambda: ops.dequantize(whole.astype(np.int8), 0.5),
    }


def test_every_kernel_from_eight_threads():
    calls = _calls()
    # BLAS may sum in another order from call to call; everything of ours repeats bit for bit.
    expected = {name: np.array(call(), copy=True) for name, call in calls.items()}
    wrong, until = [], time.monotonic() + SECONDS

    def work(seed):
        order = np.random.default_rng(seed)
        while time.monotonic() < until:
            for name in order.permutation(list(calls)):
                result = np.asarray(calls[name]())
                same = (
                    np.allclose(result, expected[name], rtol=1e-4, atol=1e-4)
                    if name == "baseline"
                    else (result.tobytes() == expected[name].tobytes())
                )
                if not same:
                    wrong.append(name)

    in_threads(work, 8)
    assert not wrong
