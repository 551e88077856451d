"""The arrays that every process draws for itself, and what a right result is.

Arrays follow from a seed and the case alone, so that all processes have equal ones and none are sent. A
result is judged by a sample of it (a few rows at many columns) against float64, within `product_bound`.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from benchmarks.suites import LAYER, Case, Shape

Array = np.ndarray[Any, np.dtype[Any]]

SEED = 13
DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int8": np.dtype(np.int8),
}
_SAMPLED_ROWS = 4
_SAMPLED_COLUMNS = 256
#: Of a cache line; the widest vector has as many bytes.
_ALIGNMENT = 64


@dataclass(frozen=True)
class Arrays:
    """What one case is computed from, and where to."""

    a: Array
    b: Array | None  # a ReLU has one operand
    bias: Array | None
    out: Array

    def operands(self) -> tuple[Array, Array]:
        """Return the two operands of a product."""
        assert self.b is not None
        return self.a, self.b

    def layer(self) -> tuple[Array, Array, Array]:
        """Return input, weight and bias of a dense layer."""
        assert self.b is not None and self.bias is not None
        return self.a, self.b, self.bias


def draw(case: Case) -> Arrays:
    """Draw the arrays of a case; the last weights are kept, because the next case often has the same."""
    if case.operation == "relu":
        a = _draw(0, case.shape, case.dtype)
        return Arrays(a, None, None, empty(a.shape, a.dtype))
    rows, inner, columns = case.shape
    a, b = _draw(0, (rows, inner), case.dtype), _weights((inner, columns), case.dtype)
    bias = _draw(2, (columns,), case.dtype) if case.operation in LAYER else None
    dtype = np.dtype(np.int32) if case.operation == "integer" else a.dtype
    return Arrays(a, b, bias, empty((rows, columns), dtype))


def empty(shape: Shape, dtype: Any) -> Array:
    """Return an array that begins with a cache line, as torch's do and NumPy's may: equal for everyone."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw: Array = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    aligned: Array = raw[start : start + size].view(dtype)
    return aligned.reshape(shape)


def sample(result: Array) -> Array:
    """Return the part of a result that is judged.

    >>> sample(np.zeros((1000, 3))).shape
    (4, 3)
    """
    if result.ndim == 1:
        places: Any = _places(result.size, _SAMPLED_COLUMNS)
    else:
        rows, columns = result.shape
        places = np.ix_(_places(rows, _SAMPLED_ROWS), _places(columns, _SAMPLED_COLUMNS))
    part: Array = result[places]
    return part


def expected(case: Case) -> tuple[Array, Array]:
    """Return the sample of the exact result, and the error that each value of it may have."""
    from tinytorch.ops.registry import product_bound

    arrays = draw(case)
    if case.operation == "relu":
        exact = np.maximum(sample(arrays.a), 0)
        return exact, np.zeros(exact.shape)
    a, b = arrays.operands()
    step = (
        2 * float(np.abs(a).max()) / 127 if case.dtype != "int8" else 0.0
    )  # of a coarse quantization: 7 bits, one scale for all rows
    a, b = a[_places(len(a), _SAMPLED_ROWS)], b[:, _places(b.shape[1], _SAMPLED_COLUMNS)]
    if arrays.bias is not None:  # one more term of the sum
        a = np.concatenate((a, np.ones((len(a), 1), a.dtype)), axis=1)
        b = np.concatenate((b, arrays.bias[None, _places(arrays.bias.size, _SAMPLED_COLUMNS)]), axis=0)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    if case.operation in LAYER:
        exact = np.maximum(exact, 0)
    if case.operation == "integer":
        return exact, np.zeros(exact.shape)
    if case.operation == "int8":
        return exact, _int8_bound(a[:, :-1], b[:-1], step)
    return exact, product_bound(a, b, DTYPES[case.dtype], a.shape[1])


def _int8_bound(x: Array, weight: Array, step: float) -> Array:
    """Return the error allowed to a product in int8: half a step of each number, times what it meets.

    `step` is that of x; a weight has one scale for each column, which saturates nothing. It is the worst that
    can happen: errors of this size in all numbers, all of one sign.
    """
    x, weight = (np.abs(array.astype(np.float64)) for array in (x, weight))
    steps = np.broadcast_to(weight.max(axis=0) / 127, weight.shape)
    bound: Array = x @ steps / 2 + (step / 2 * (weight + steps / 2)).sum(axis=0)
    return bound * (1 + 1e-5) + 1e-5


def copied(case: Case) -> Array:
    """Return the sample of a copy of the input."""
    return sample(draw(case).a)


def _places(size: int, most: int) -> Array:
    """Choose indices: all of few; else the first and last, where tiles begin and end, and some between."""
    if size <= most:
        return np.arange(size)
    ends = np.arange(most // 4)
    between = np.random.default_rng((SEED, size)).choice(size, most // 2, replace=False)
    return np.unique(np.concatenate((ends, between, size - 1 - ends)))


def _draw(role: int, shape: Shape, dtype: str) -> Array:
    rng = np.random.default_rng((SEED, role, *shape))
    out = empty(shape, DTYPES[dtype])
    if dtype == "int8":
        out[...] = rng.integers(-128, 128, shape, np.int8)
    elif dtype == "bfloat16":
        out[...] = rng.standard_normal(shape, np.float32)
    else:
        rng.standard_normal(shape, out.dtype, out=out)
    return out


@lru_cache(maxsize=1)
def _weights(shape: Shape, dtype: str) -> Array:
    return _draw(1, shape, dtype)
