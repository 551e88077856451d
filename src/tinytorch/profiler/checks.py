"""Numbers and dtypes that users give: read, or refused in one line."""

import math
from typing import Any

import ml_dtypes  # noqa: F401  # NumPy knows bfloat16 and the float8s from here on
import numpy as np

from tinytorch.runtime.errors import InputError


def positive(name: str, value: Any) -> float:
    """Return a number above 0 as a float; InputError that names it otherwise.

    >>> positive("flops", 3)
    3.0
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise InputError(f"{name} must be a number above 0, not {value!r}")
    return number


def dtype_of(value: Any) -> "np.dtype[Any]":
    """Return a dtype of NumPy or ml_dtypes; InputError for what is none.

    >>> dtype_of("bfloat16").itemsize
    2
    """
    try:
        return np.dtype(value)
    except TypeError:
        raise InputError(f"dtype {value!r} is not known; give one as 'float32' or 'bfloat16'") from None
