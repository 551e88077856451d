"""Kernels by themselves: activations against wider arithmetic, packing against NumPy."""

import numpy as np
import pytest

from tests.memory import Framed, Pages
from tinytorch.ops import linear
from tinytorch.ops.epilogue import apply
from tinytorch.ops.plan import kernels
from tinytorch.ops.registry import draw, mismatch
from tinytorch.runtime.arrays import FLOAT32, FLOAT64, INT64
from tinytorch.simd.activation import ACTIVATIONS
from tinytorch.simd.product import ACTIVATION_SHIFT
from tinytorch.simd.target import chosen, tile

WIDE = np.longdouble  # 64 bits of fraction on x86, where float64 has 53
every_float = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
every_dtype = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64, INT64], ids=str)


def grid(dtype):
    """Return numbers of all sizes, densest where the functions bend and where their reduction changes over."""
    info = np.finfo(dtype)
    end = 120 if dtype == FLOAT32 else 780  # past where e^x overflows
    halves = np.arange(-2400, 2401) * (np.log(2) / 2)
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 2 ** (8 * dtype.itemsize), 50_000, np.uint64, endpoint=False) if False else None
    assert patterns is None
    points = [
        np.linspace(-end, end, 100_001),
        np.linspace(-12, 12, 100_001),
        *(halves * (1 + step * float(info.eps)) for step in (-1, 0, 1)),
        [0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, float(info.max), float(info.min)],
        [s * k * float(info.smallest_subnormal) for s in (1, -1) for k in (1, 2, 3, 1000)],
        [s * float(info.tiny) for s in (1, -1)],
    ]
    raw = np.frombuffer(rng.bytes(50_000 * dtype.itemsize), dtype)  # every exponent, some NaN
    return np.concatenate([*(np.asarray(p, np.float64).astype(dtype) for p in points), raw])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu_argument(x):
    return 2 * np.sqrt(2 / WIDE(np.pi)) * (x + WIDE("0.044715") * x**3)
