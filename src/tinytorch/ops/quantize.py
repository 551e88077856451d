"""From floats to int8, as ONNX QuantizeLinear: saturate(round_half_to_even(x / scale) + zero_point).

Nothing wraps around. What does not fit is counted while it is clipped, so that a scale that was too small
is told of, with the one that would have fitted.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types

from tinytorch.ops.elementwise import BLOCK, SERIAL
from tinytorch.ops.registry import Operation, draw
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.arrays import (
    FLOAT32,
    FLOAT64,
    FLOATS,
    INT8,
    SUPPORTED,
    Array,
    DType,
    compute_dtype,
    contiguous,
    empty,
    like,
    read,
)
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.threads import threads_for

LOWEST, HIGHEST = -128, 127


class QuantizationWarning(UserWarning):
    """Values did not fit in int8 at the scale that was given, and were clipped."""


@dataclass(frozen=True)
class Quantized:
    """int8 codes, the scale of each channel (one for all without an axis), and how well they fitted."""

    codes: Array
    scales: Array  # in the precision that divided
    factors: Array  # the same as they were given, in float64: what codes are multiplied by
    saturated: int
    fitting: float  # a scale at which nothing would have saturated; inf if the zero point leaves none

    def complaint(self, name: str) -> str | None:
        """Say how many values saturated and what would have helped, or None."""
        if not self.saturated:
            return None
        told = f"{self.saturated} of {self.codes.size} values of {name} do not fit in int8 and were clipped"
        if math.isinf(self.fitting):
            return f"{told}; no scale would have fitted with this zero point"
        return f"{told}; a scale of {self.fitting:.6g} would have fitted"


def warn(*complaints: str | None) -> None:
    """Issue one QuantizationWarning for everything that one public call has to say."""
    text = "; ".join(complaint for complaint in complaints if complaint)
    if text:
        warnings.warn(text, QuantizationWarning, stacklevel=3)


def check_scale(name: str, value: Any) -> Array:
    """Return a scale as a float64 array of 0 or 1 dimensions; ValueError unless finite and positive."""
    try:
        if isinstance(value, bool):
            raise TypeError
        scale = np.asarray(value, np.float64)
    except OverflowError:
        raise ValueError(f"{name} must be finite and positive, not {value}") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or a 1-D array of them, not {value!r}") from None
    if scale.ndim > 1:
        raise ValueError(f"{name} must be a number or a 1-D array, not of shape {scale.shape}")
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise ValueError(f"{name} must be finite and positive, not {value}")
    return scale


def result_dtype(*arrays: Array) -> DType:
    """Return what quantized kernels return: float64 when an input is float64, else float32."""
    return FLOAT64 if any(array.dtype == FLOAT64 for array in arrays) else FLOAT32


#: Adding and subtracting 1.5 * 2**(bits of the significand) rounds half to even, in two additions that SIMD
#: has on every CPU; with a call to `rint` for each element the whole kernel took twice as long.
_ROUND = {FLOAT32: FLOAT32.type(1.5 * 2**23), FLOAT64: FLOAT64.type(1.5 * 2**52)}


@tile_kernel(
    lambda T: (
        *(T[::1], types.int8[::1], T[::1], T[::1], types.int64, types.int64, T),
        *(types.int64[::1], types.int64[::1]),
    )
)
def _quantize(tile, thread, x, codes, scales, zero_points, channels, inner, magic, saturated, bad):
    begin, end = tile * BLOCK, min((tile + 1) * BLOCK, x.size)
    one, zero, limit = np.int32(1), np.int32(0), x.dtype.type(1024)
    clipped, broken = zero, zero  # a tile has fewer elements than an int32 can count
    while begin < end:  # a run of values that share a channel
        channel = (begin // inner) % channels
        stop = min(end, (begin // inner + 1) * inner)
        scale, zero_point = scales[channel], zero_points[channel]
        source, target = x[begin:stop], codes[begin:stop]
        for i in range(stop - begin):
            value = source[i] / scale
            # Far beyond what any zero point brings back into int8, and near enough for `magic` to round.
            value = limit if value > limit else (-limit if value < -limit else value)
            value = ((value + magic) - magic) + zero_point
            broken = np.int32(broken + (zero if source[i] - source[i] == 0 else one))  # inf - inf is NaN
            clipped = np.int32(clipped + (one if value > 127 or value < -128 else zero))
            target[i] = np.int8(127 if value > 127 else (-128 if value < -128 else value))
        begin = stop
    saturated[tile], bad[tile] = clipped, broken


def quantize_calibrated(x: Array, axis: int, name: str) -> tuple[Array, Array]:
    """Return (int8 codes, scales), a scale calibrated for each channel of `axis`."""
    result = quantized(x, None, axis, name)
    return result.codes, result.scales


def quantized(
    x: Array,
    scale: Any,
    axis: int | None = None,
    name: str = "x",
    zero_point: Any = 0,
    scale_name: str = "scale",
    threads: int | None = None,
) -> Quantized:
    """Quantize to int8. `scale` None calibrates: max-abs / 127, per channel of `axis` if there is one.

    Raises ValueError for NaN or inf in `x`, a scale that is not finite and positive, a zero point outside
    int8, or a scale or zero point whose shape does not fit the axis.
    """
    # Floats divide in their own precision, as NumPy does; integers in float64.
    computed = compute_dtype(x.dtype) if x.dtype in FLOATS else FLOAT64
    channels, inner = 1, max(1, x.size)
    if axis is not None:
        axis = _normal_axis(axis, x.ndim)
        channels, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    if scale is None:
        if np.any(np.asarray(zero_point) != 0):
            raise ValueError("a zero point needs a scale: calibration (scale=None) is symmetric about 0")
        scales = calibrate(x, axis, computed)
        factors = scales.astype(FLOAT64)
    else:
        given = check_scale(scale_name, scale)
        _check_channels(scale_name, given, channels, axis)
        factors = np.broadcast_to(given, (channels,)).copy()
        with np.errstate(over="ignore", under="ignore"):
            scales = factors.astype(computed)
        if not np.all(np.isfinite(scales) & (scales > 0)):  # representable in float64 alone
            computed, scales = FLOAT64, factors
    points = _zero_points(zero_point, channels, axis).astype(computed)
    source = contiguous(x, computed).reshape(-1)
    codes = empty(x.shape, INT8)
    tiles = -(-x.size // BLOCK)
    saturated, bad = np.zeros(tiles, np.int64), np.zeros(tiles, np.int64)
    threads = threads_for(x.size, SERIAL, tiles, threads)
    if x.size:
        _quantize[computed](
            tiles,
            *(source, codes.reshape(-1), scales, points, channels, inner, _ROUND[computed]),
            *(saturated, bad),
            threads=threads,
        )
    if bad.any():
        raise not_finite(name, x)
    fitting = _fitting(x, axis, points) if saturated.any() else 0.0
    return Quantized(codes, scales, factors, int(saturated.sum()), fitting)


def not_finite(name: str, x: Array, kind: str = "int8") -> ValueError:
    """Return the error for an array that holds NaN or infinity."""
    count = x.size - np.count_nonzero(np.isfinite(x))
    return ValueError(f"{name} holds {count} values that are NaN or infinite; {kind} has neither")


def _extremes(x: Array, axis: int | None) -> tuple[Array, Array]:
    """Return the largest and the smallest value of each channel, in float64."""
    others = None if axis is None else tuple(d for d in range(x.ndim) if d != axis)
    high, low = x.max(axis=others), x.min(axis=others)
    return np.asarray(high, np.float64).reshape(-1), np.asarray(low, np.float64).reshape(-1)


def _fitting(x: Array, axis: int | None, points: Array) -> float:
    """Return the scale at which the channel that needs the largest one fits, with its zero point."""
    high, low = _extremes(x, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.where(high > 0, high / (HIGHEST - points), 0)
        # As far below as above: what symmetric calibration would give, where there is no zero point.
        below = np.where(low < 0, low / (np.where(points == 0, -HIGHEST, LOWEST) - points), 0)
    return float(np.max(np.maximum(above, below)))


def calibrate(x: Array, axis: int | None, dtype: DType) -> Array:
    """Return the symmetric scales of `x`: max-abs / 127 per channel, 1.0 where all is zero."""
    if x.size == 0:
        return np.ones(1 if axis is None else x.shape[axis], dtype)
    # In float64: the most negative integer has no positive counterpart of its own type.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        high, low = _extremes(x, axis)
        largest = np.maximum(high, -low).astype(dtype)
        scales = largest / dtype.type(HIGHEST)
        # Subnormal scales are coarse: the next one up, if rounding made this one too small to reach 127.
        short = largest / scales > dtype.type(HIGHEST + 0.5)
        scales = np.where(short, np.nextafter(scales, dtype.type(np.inf)), scales)
    return np.where(scales > 0, scales, dtype.type(1)).astype(dtype)


def _normal_axis(axis: Any, ndim: int) -> int:
    number = integer("axis", axis, -ndim)
    if number >= ndim:
        raise ValueError(f"axis must be below {ndim}, the number of dimensions, not {axis}")
    return number % ndim


def _check_channels(name: str, values: Array, channels: int, axis: int | None) -> None:
    if values.ndim and (axis is None or values.shape != (channels,)):
        wanted = "one number" if axis is None else f"one number or {channels} of them for axis {axis}"
        raise ValueError(f"{name} has shape {values.shape}; it must be {wanted}")


def check_zero_point(value: Any) -> int:
    """Return one zero point; TypeError or ValueError unless it is an integer of int8."""
    return int(_zero_points(integer("zero_point", value, LOWEST), 1, None)[0])


def _zero_points(value: Any, channels: int, axis: int | None) -> Array:
    if type(value) is int and value == 0:
        return np.zeros(channels, np.int64)
    points = np.asarray(value)
    if points.dtype.kind not in "iu":
        raise TypeError(f"zero_point must be an integer in [{LOWEST}, {HIGHEST}], not {value!r}")
    if np.any((points < LOWEST) | (points > HIGHEST)):
        raise ValueError(f"zero_point must be in [{LOWEST}, {HIGHEST}], not {value}")
    _check_channels("zero_point", points, channels, axis)
    return np.broadcast_to(points, (channels,))


def quantize(x: Any, scale: Any = None, zero_point: Any = 0, axis: int | None = None) -> tuple[Any, Any]:
    """Return (int8 codes, scale) of saturate(round_half_to_even(x / scale) + zero_point).

    `scale` None calibrates to max-abs / 127. With `axis`, scale and zero point are per channel of it: 1-D
    arrays. The scale comes back in the precision that divided: float64 for float64 and integer `x`, else
    float32 (unless only float64 can hold it). Values that a given scale clips are told of in one
    QuantizationWarning.

    Raises ValueError for NaN or inf, a scale that is not finite and positive, or shapes that do not fit.

    >>> import numpy as np
    >>> quantize(np.array([-1.0, 0.25, 1.27]), scale=0.01)
    (array([-100,   25,  127], dtype=int8), np.float64(0.01))
    """
    array = read("x", x)
    result = quantized(array, scale, axis, "x", zero_point)
    if scale is not None:
        warn(result.complaint("x"))
    return like(result.codes, x), result.scales[0] if axis is None else result.scales


def dequantize(q: Any, scale: Any, zero_point: Any = 0, axis: int | None = None) -> Any:
    """Return (q - zero_point) * scale, in float64 if `scale` is of dtype float64, else float32.

    Raises TypeError unless `q` is of an integer dtype, ValueError for a scale or shapes that do not fit.

    >>> import numpy as np
    >>> dequantize(np.array([-100, 25], np.int8), 0.5)
    array([-50. ,  12.5], dtype=float32)
    """
    codes = read("q", q)
    if codes.dtype in FLOATS:
        raise TypeError(f"q has dtype {codes.dtype}; quantized values are integers")
    wide = hasattr(scale, "dtype") and np.asarray(scale).dtype.newbyteorder("=") == FLOAT64
    scales = check_scale("scale", scale)
    axis = None if axis is None else _normal_axis(axis, codes.ndim)
    channels = 1 if axis is None else codes.shape[axis]
    _check_channels("scale", scales, channels, axis)
    points = _zero_points(zero_point, channels, axis)
    along = tuple(-1 if d == axis else 1 for d in range(codes.ndim))
    dtype = FLOAT64 if wide else FLOAT32
    result = empty(codes.shape, dtype)
    # In float64 and rounded once: codes of up to 32 bits and their difference are exact there.
    with np.errstate(over="ignore"):
        exact = (codes.astype(np.float64) - points.reshape(along)) * np.broadcast_to(
            scales, (channels,)
        ).reshape(along)
        result[...] = exact
    return like(result, q)


# Declaration


def _inputs(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> tuple[Array, float]:
    return draw(rng, shape, dtype), 0.05 if dtype in FLOATS else float(np.iinfo(dtype).max) / 100


def reference_codes(x: Array, scales: Any) -> Array:
    """Return the int8 codes of `x` as int64, in NumPy: what every kernel that quantizes is held against."""
    computed = compute_dtype(x.dtype) if x.dtype in FLOATS else FLOAT64
    codes = np.rint(x.astype(computed) / np.asarray(scales, computed))
    return np.clip(codes, LOWEST, HIGHEST).astype(np.int64)


QUANTIZE = Operation(
    "quantize",
    inputs=_inputs,
    reference=reference_codes,
    bound=lambda x, scale: np.zeros(()),
    cost=lambda x, scale: Cost(3 * x.size, x.nbytes, x.size),
    shapes=((), (0,), (1,), (33,), (3, 5, 7), (BLOCK + 1,), (9 * BLOCK,)),
    memory_bound=True,
)


@QUANTIZE.rung("python loops", slow=True, dtypes=(FLOAT64, *(d for d in SUPPORTED if d not in FLOATS)))
def quantize_loops(x: Array, scale: float) -> Array:
    """A loop over Python numbers; Python rounds half to even too."""
    codes = [min(max(round(value / scale), LOWEST), HIGHEST) for value in x.reshape(-1).tolist()]
    return np.array(codes, np.int8).reshape(x.shape)


@QUANTIZE.rung("numpy")
def quantize_numpy(x: Array, scale: float) -> Array:
    """NumPy's divide, rint, clip and cast, with their temporaries."""
    return reference_codes(x, scale).astype(np.int8)


@QUANTIZE.rung("vectorized")
def quantize_vectorized(x: Array, scale: float) -> Array:
    """One compiled pass, which also counts what saturates; one thread."""
    return quantized(x, scale, threads=1).codes


@QUANTIZE.rung("parallel")
def quantize_parallel(x: Array, scale: float) -> Array:
    """The same pass, its tiles claimed by the pool's threads."""
    return quantized(x, scale).codes


QUANTIZE.counts(quantized, lambda x, scale: (x, scale), computed=lambda x, _: x.dtype)
