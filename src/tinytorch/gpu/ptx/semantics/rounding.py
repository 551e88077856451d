"""Rounding once: exact values as two doubles, and from there to every format and direction.

An exact result is a double and what its rounding left out (Dekker 1971, Knuth's TwoSum). Rounded to odd,
truncated with the last bit set if anything was lost, a double can be rounded again to a format of at least
two bits less in any direction as if it were the exact value (Boldo and Melquiond, "Emulation of a FMA and
correctly rounded sums", IEEE Transactions on Computers 57, 2008).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.semantics.value import Array

ROUNDINGS = ("rn", "rz", "rm", "rp")


@dataclass(frozen=True)
class Format:
    """A binary floating-point format; the significand's bits with the hidden one."""

    precision: int
    lowest: int  # exponent of the smallest normal number
    largest: float


FORMATS = {
    "f64": Format(53, -1022, float(np.finfo("f8").max)),
    "f32": Format(24, -126, float(np.finfo("f4").max)),
    "tf32": Format(11, -126, (2 - 2.0**-10) * 2.0**127),
    "f16": Format(11, -14, 65504.0),
    "bf16": Format(8, -126, (2 - 2.0**-7) * 2.0**127),
    "e5m2": Format(3, -14, 57344.0),
    "e4m3": Format(4, -6, 448.0),
}

#: The NaN that instructions make. The ISA leaves a NaN's payload open; these are the ones it calls canonical.
CANONICAL = {"f2": ("u2", 0x7FFF), "f4": ("u4", 0x7FFFFFFF)}


#: The bits of the exponent and of the sign, by the type of array that a format is kept in; u2 is bfloat16.
_FIELDS = {"f4": ("u4", 0x7F800000, 0x80000000), "f2": ("u2", 0x7C00, 0x8000), "u2": ("u2", 0x7F80, 0x8000)}


def flush(a: Array) -> Array:
    """Return float32, float16 or bfloat16's bits with zeros of their sign for subnormal numbers.

    >>> flush(np.array([1e-40, 1.5], "f4"))
    array([0. , 1.5], dtype=float32)
    """
    unsigned, exponent, sign = _FIELDS[a.dtype.str[1:]]
    bits = a.view(unsigned)
    return np.where(bits & exponent == 0, bits & sign, bits).view(a.dtype)


def canonical(a: Array) -> Array:
    """Replace, in place, each NaN of float16 or float32 by the canonical one; float64 stays as it is."""
    if a.dtype.itemsize < 8:
        nan = np.isnan(a)
        if nan.any():
            bits, value = CANONICAL[a.dtype.str[1:]]
            a.view(bits)[nan] = value
    return a


def readable(a: Array, kind: str) -> Array:
    """Return values as NumPy can compute with them: bfloat16 as the float32 whose upper half it is.

    >>> readable(np.array([0x3FC0], "u2"), "bf16")
    array([1.5], dtype=float32)
    """
    return (a.astype("u4") << 16).view("f4") if kind == "bf16" else a


def double(a: Array, kind: str) -> Array:
    """Return values of a format as float64."""
    return readable(a, kind).astype("f8")


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the sum of doubles, rounded, and what that left out."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the product of doubles, rounded, and what that left out; exact from 2^-960 to 2^990 or so."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: Array) -> tuple[Array, Array]:
    scaled = a * 134217729.0  # 2^27 + 1 (Veltkamp)
    high = scaled - (scaled - a)
    return high, a - high


def to_odd(value: Array, rest: Array) -> Array:
    """Return value + rest truncated to a double, its last bit set if that lost anything."""
    lost = np.abs(rest) > 0  # not of a NaN, which infinite operands leave
    lost &= np.isfinite(value)
    if not lost.any():
        return value
    bits = value.view("i8") - (lost & (np.signbit(rest) != np.signbit(value)))
    return (bits | lost).view("f8")


def rounded(a: Array, kind: str, rounding: str) -> Array:
    """Return doubles rounded to a format, still as doubles; beyond its range infinite or the largest.

    "rna" rounds to nearest with ties away from zero. Infinities and NaN stay.

    >>> rounded(np.array([1.0625, 500.0, 2.0**-10]), "e4m3", "rn")
    array([ 1., inf,  0.])
    """
    form = FORMATS[kind]
    exponent = np.maximum(np.frexp(a)[1] - 1, form.lowest) - (form.precision - 1)
    steps = np.ldexp(a, -exponent)  # exact: a double has more precision and more range
    result = np.ldexp(_INTEGRAL[rounding](steps), exponent)
    result = np.where(np.isfinite(a), result, a)
    over = (np.abs(result) > form.largest) & np.isfinite(a)
    if over.any():
        largest, infinite = np.copysign(form.largest, a), np.copysign(np.inf, a)
        stops = (rounding == "rz") | ((a > 0) & (rounding == "rm")) | ((a < 0) & (rounding == "rp"))
        result = np.where(over, np.where(stops, largest, infinite), result)
    return result


_INTEGRAL: dict[str, Callable[[Array], Array]] = {
    "rn": np.rint,
    "rz": np.trunc,
    "rm": np.floor,
    "rp": np.ceil,
    "rna": lambda a: np.copysign(np.floor(np.abs(a) + 0.5), a),  # exact: a has few bits to spare
}


def narrow(a: Array, kind: str, rounding: str = "rn") -> Array:
    """Return doubles (rounded to odd, if they are not exact) as a format's own arrays.

    >>> narrow(np.array([1.0, 3.0]), "bf16").tolist() == [0x3F80, 0x4040]
    True
    """
    if kind == "bf16":
        return _upper_half(rounded(a, kind, rounding).astype("f4"))
    dtype = {"f16": "f2", "f32": "f4", "tf32": "f4"}[kind]
    if rounding != "rn" or kind == "tf32":
        a = rounded(a, kind, rounding)
    return canonical(a.astype(dtype))


def _upper_half(a: Array) -> Array:
    return np.where(np.isnan(a), 0x7FFF, a.view("u4") >> 16).astype("u2")


def nearest_bf16(a: Array) -> Array:
    """Return float32 rounded to bfloat16: half of the last place is added, a bit less where that is even."""
    bits = a.view("u4")
    result = (bits + (0x7FFF + (bits >> 16 & 1)) >> 16).astype("u2")
    nan = np.isnan(a)
    if nan.any():
        result[nan] = 0x7FFF
    return result


def saturated(a: Array) -> Array:
    """Return values clamped to [0, 1]; NaN and -0 become +0."""
    return np.minimum(np.where(a > 0, a, a.dtype.type(0)), a.dtype.type(1))
