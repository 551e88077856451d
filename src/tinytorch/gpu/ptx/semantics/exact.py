"""Doubles rounded once: a fast fused multiply-add, and everything else by exact fractions, lane by lane.

Nothing wider than a double is at hand. Where error terms could overflow or underflow, and for directed
roundings, which are rare, integers of any size do it: some microseconds a lane.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from tinytorch.gpu.ptx.semantics.rounding import to_odd, two_product, two_sum
from tinytorch.gpu.ptx.semantics.value import Array


def _plain(a: Array, b: Array, c: Array) -> Array:
    """Return a * b + c rounded twice; an infinite c stays what it is beside any product of numbers."""
    return np.where(np.isinf(c) & np.isfinite(a) & np.isfinite(b), c, a * b + c)


_NEAREST: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "fma": _plain,
    "sqrt": np.sqrt,
}
_FRACTIONS: dict[str, Callable[..., Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "fma": lambda a, b, c: a * b + c,
}


def function(operation: str, rounding: str) -> Callable[..., Array]:
    """Return the function of arrays of doubles that does an operation, rounded once in a direction."""

    def apply(*arrays: Array) -> Array:
        arrays = tuple(np.broadcast_arrays(*arrays))
        result = np.array(_NEAREST[operation](*arrays))  # right for infinities, NaN and signs of zeros
        usable = np.isfinite(sum(np.abs(a * 0.0) for a in arrays))
        if operation == "div":
            usable &= arrays[1] != 0
        if operation == "sqrt":
            usable &= arrays[0] >= 0
        lanes = zip(*(a[usable].tolist() for a in arrays), result[usable].tolist(), strict=True)
        result[usable] = [_lane(operation, rounding, *lane) for lane in lanes]
        return result

    return apply


def _lane(operation: str, rounding: str, *numbers: float) -> float:
    *operands, nearest = numbers
    exactly = root if operation == "sqrt" else _FRACTIONS[operation]
    value = exactly(*map(Fraction, operands))
    if value:
        return rounded_fraction(value, rounding)
    if rounding == "rm" and operation in ("add", "sub", "fma") and not _both_positive(operation, operands):
        return -0.0
    # A zero has the sign that NumPy gave it, unless it was a product that came to nothing.
    return math.copysign(0.0, nearest)


def _both_positive(operation: str, operands: list[float]) -> bool:
    """Return whether an exact zero is the sum of two zeros of which none is negative."""
    signs = [math.copysign(1.0, operand) for operand in operands]
    if operation == "fma":
        return signs[0] * signs[1] > 0 and signs[2] > 0
    return signs[0] > 0 and signs[1] * (-1 if operation == "sub" else 1) > 0


def root(value: Fraction) -> Fraction:
    """Return the square root of a double: exact if it is one, else with some bits more than will be kept."""
    shift = 120  # bits before the root: at least 60 after it, of which the last says "and something"
    numerator, denominator = value.numerator, value.denominator  # a power of two
    places = denominator.bit_length() - 1
    scale = max(0, shift - numerator.bit_length())
    scale += (scale + places) % 2
    whole = numerator << scale
    integer = math.isqrt(whole)
    sticky = 2 * integer + (integer * integer != whole)
    return Fraction(sticky, 2) / Fraction(2) ** ((scale + places) // 2)


def rounded_fraction(value: Fraction, rounding: str) -> float:
    """Return a fraction as the double that a rounding ("rn", "rz", "rm", "rp") makes of it.

    >>> rounded_fraction(Fraction(1, 3), "rp") - rounded_fraction(Fraction(1, 3), "rz") == 2.0**-54
    True
    """
    size, sign = abs(value), -1.0 if value < 0 else 1.0
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    exponent = max(exponent, -1022) - 52
    steps = size / Fraction(2) ** exponent
    if rounding == "rn":
        count = round(steps)  # to even
    elif rounding == "rz" or (rounding == "rm") == (sign > 0):
        count = math.floor(steps)
    else:
        count = math.ceil(steps)
    if count.bit_length() + exponent > 1024:
        toward_zero = rounding == "rz" or (rounding == "rm" and sign > 0) or (rounding == "rp" and sign < 0)
        return sign * (float(np.finfo("f8").max) if toward_zero else math.inf)
    return sign * math.ldexp(count, exponent)


def multiply_add(a: Array, b: Array, c: Array) -> Array:
    """Return a * b + c of doubles, rounded once to nearest.

    By error terms, of which the two smaller ones are added to odd (Boldo and Melquiond 2008), and by
    fractions where these terms would not be exact.
    """
    high, low = two_product(a, b)
    middle, rest = two_sum(c, low)
    total, left = two_sum(high, middle)
    result = total + to_odd(*two_sum(rest, left))
    plain = _plain(a, b, c)
    exact = (a == 0) | (b == 0) | (result == 0)
    # What is too large may only seem so: the fractions say whether it is.
    result = np.where(exact | ~np.isfinite(plain), plain, result)
    doubtful = ~(_within(a, 480) & _within(b, 480) & (_within(c, 900) | (c == 0)))
    doubtful &= np.isfinite(a) & np.isfinite(b) & np.isfinite(c) & (a != 0) & (b != 0)
    if doubtful.any():
        lanes = (np.broadcast_to(x, result.shape)[doubtful] for x in (a, b, c))
        result[doubtful] = _BY_FRACTIONS(*lanes)
    return result


_BY_FRACTIONS = function("fma", "rn")


def _within(a: Array, exponent: int) -> Array:
    size = np.abs(a)
    return (size > 2.0**-exponent) & (size < 2.0**exponent)
