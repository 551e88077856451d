"""The dtypes that numba computes in, and numbers as they are once they are of one.

Its integers are 64 bits wide once computed with, and a number of Python's makes a float32 a float64.
"""

import functools
import math
from typing import Any

import numpy as np

from tinytorch.measure.counting.count import DType

INT, UINT, BOOL = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.bool_)
FLOAT, COMPLEX = np.dtype(np.float64), np.dtype(np.complex128)


@functools.cache
def common_dtype(*dtypes: DType) -> DType:
    """Return the dtype that numba computes in."""
    if all(dtype.kind == "b" for dtype in dtypes):
        return BOOL
    if all(dtype.kind in "biu" for dtype in dtypes):
        return UINT if all(dtype.kind == "u" for dtype in dtypes) else INT
    return np.result_type(*dtypes)


def real_dtype(dtype: DType) -> DType:
    """Return the dtype of the parts of a complex number."""
    return np.empty(0, dtype).real.dtype


def fit(value: Any, dtype: DType) -> Any:
    """Return a number as it is once it is of a dtype; only integers are cut to their width."""
    kind = dtype.kind
    if kind == "f":
        return float(value.real if isinstance(value, complex) else value)
    if kind in "iu":
        whole = int(value) if math.isfinite(value) else 0  # what a compiler makes of NaN is not defined
        bits = 8 * dtype.itemsize
        whole &= (1 << bits) - 1
        return whole - (1 << bits) if kind == "i" and whole >> (bits - 1) else whole
    return bool(value) if kind == "b" else complex(value)
