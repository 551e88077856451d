"""Arrays to try kernels on: special values, and every way one array can lie in memory."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

Array = np.ndarray[Any, np.dtype[Any]]

FLOATS = [np.dtype(t) for t in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)]
INTEGERS = [np.dtype(f"{kind}{size}") for kind in ("int", "uint") for size in (8, 16, 32, 64)]
SUPPORTED = FLOATS + INTEGERS
UNSUPPORTED = [
    np.dtype(t) for t in ("bool", "complex64", "complex128", "U3", "S3", "object", "M8[s]", "longdouble")
]


def specials(dtype: np.dtype[Any]) -> list[float]:
    """NaN, infinities, zeros of both signs, subnormals, the largest and the smallest numbers of a type."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return [0, 1, info.min, info.max]
    info = ml_dtypes.finfo(dtype)
    limits = [float(v) for v in (info.smallest_subnormal, info.tiny, info.max)]
    if dtype == np.float64:  # squares and sums must not overflow the float64 reference
        limits[-1] = 1e150
    signed = [0.0, 1.0, float("inf"), *limits]
    return [float("nan"), *signed, *(-v for v in signed)]


def values(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], special: float = 0.0
) -> Array:
    """Draw an array, a share of it special values."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        result = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    else:
        result = rng.standard_normal(shape).astype(dtype)
    if special:
        odd = rng.choice(np.array(specials(dtype), np.float64 if dtype.kind not in "iu" else object), shape)
        with np.errstate(over="ignore"):
            result = np.where(rng.random(shape) < special, odd.astype(dtype), result)
    return np.asarray(result, dtype)


def _backwards(x: Array) -> Array:
    flip = tuple(slice(None, None, -1) for _ in x.shape)
    return np.ascontiguousarray(x[flip]).reshape(x.shape)[(..., *flip)]


def _spread(x: Array) -> Array:
    wide = np.zeros([2 * n + 1 for n in x.shape], x.dtype)
    view = wide[(..., *(slice(0, 2 * n, 2) for n in x.shape))]
    view[...] = x
    return view


def _unaligned(x: Array) -> Array:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    view = memory[1:].view(x.dtype).reshape(x.shape) if x.ndim else memory[1:].view(x.dtype)[0:1].reshape(())
    view[...] = x
    return view


def _read_only(x: Array) -> Array:
    x = x.copy()
    x.setflags(write=False)
    return x


def _swapped(x: Array) -> Array:
    return x.astype(x.dtype.newbyteorder("S")) if x.dtype.kind in "iuf" else x


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda x: np.ascontiguousarray(x).reshape(x.shape),
    "F": lambda x: np.asfortranarray(x).reshape(x.shape, order="F"),
    "backwards": _backwards,
    "spread": _spread,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "byte-swapped": _swapped,
}
layouts = st.sampled_from(sorted(LAYOUTS))
seeds = st.integers(0, 2**32 - 1)
sizes = st.one_of(st.integers(0, 9), st.sampled_from([15, 16, 17, 63, 64, 65, 255, 256, 257, 300]))


def lay(x: Array, layout: str) -> Array:
    """Return the same values in another layout."""
    result = LAYOUTS[layout](x)
    assert result.shape == x.shape
    return result
