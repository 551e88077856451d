"""What is done to a result while it is still in registers: add a bias, apply an activation.

The exponential behind four of the activations is computed as 2^n * e^r with n an integer and |r| at most
ln(2) / 2, where a short Taylor polynomial gives e^r - 1 to the last bit or two (the same reduction as in
W. J. Cody and W. Waite, Software Manual for the Elementary Functions, 1980, chapter 6).
"""

import math

from tinytorch.runtime.arrays import FLOAT32, FLOAT64, DType
from tinytorch.simd.code import Value, Vectors

NONE, RELU, SIGMOID, TANH, SILU, GELU = range(6)
ACTIVATIONS = {None: NONE, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH, "silu": SILU, "gelu": GELU}

#: Degree d at which the first dropped term, (ln(2) / 2)^(d+1) / (d+1)!, is below half an ulp of r.
_DEGREE = {FLOAT32: 7, FLOAT64: 13}
#: Added to a number, it leaves the nearest integer in the low bits of the sum: 1.5 * 2^(fraction bits).
_MAGIC = {FLOAT32: 1.5 * 2.0**23, FLOAT64: 1.5 * 2.0**52}
#: ln(2) in two parts; the upper has so few bits that n times it is exact.
_LN2: dict[DType, tuple[float, float]] = {
    FLOAT32: (0.693359375, -2.1219444005469057e-4),
    FLOAT64: (2977044471 / 2**32, 1.9082149292705877e-10),
}
#: Beyond these e^x is taken for infinite or zero, before 2^n would leave the exponent's range.
_RANGE = {FLOAT32: (-87.3, 88.3), FLOAT64: (-708.3, 709.4)}


def relu(V: Vectors, x: Value) -> Value:
    """Return max(0, x), with NaN staying NaN: one instruction on x86, whose maximum takes x if unordered."""
    zero = V.zero()
    return V.code.select(zero > x, zero, x)


def _scaled_exponential(V: Vectors, x: Value) -> tuple[Value, Value]:
    """Return (e^r - 1, 2^n) with x = n ln(2) + r; x must be in `_RANGE` or NaN."""
    magic = V.constant(_MAGIC[V.dtype])
    shifted = V.fma(x, V.constant(1 / math.log(2)), magic)
    n = shifted - magic
    high, low = _LN2[V.dtype]
    r = V.fma(n, V.constant(-low), V.fma(n, V.constant(-high), x))
    # e^r - 1 = r + r^2 (1/2! + r (1/3! + ...))
    tail = V.constant(1 / math.factorial(_DEGREE[V.dtype]))
    for power in range(_DEGREE[V.dtype] - 1, 1, -1):
        tail = V.fma(tail, r, V.constant(1 / math.factorial(power)))
    return V.fma(r * r, tail, r), V.power_of_two(shifted)


def _clamped(V: Vectors, x: Value) -> Value:
    least, most = V.constant(_RANGE[V.dtype][0]), V.constant(_RANGE[V.dtype][1])
    x = V.code.select(x < least, least, x)
    return V.code.select(x > most, most, x)


def sigmoid(V: Vectors, x: Value) -> Value:
    """Return 1 / (1 + e^-x); zero where e^-x leaves `_RANGE`: it is below 1e-38 there, SiLU below 1e-36."""
    negative = V.zero() - x
    less_one, power = _scaled_exponential(V, _clamped(V, negative))
    one = V.constant(1.0)
    result = one / (V.fma(less_one, power, power) + one)
    return V.code.select(negative > V.constant(_RANGE[V.dtype][1]), V.zero(), result)


def tanh(V: Vectors, x: Value) -> Value:
    """Return tanh(x) = m / (m + 2) with m = e^2x - 1, which loses nothing where x is small."""
    given = x
    # tanh(20) is 1 - 8e-18, which rounds to 1 in both types.
    limit = V.constant(20.0)
    x = V.code.select(x > limit, limit, x)
    x = V.code.select(x < V.zero() - limit, V.zero() - limit, x)
    less_one, power = _scaled_exponential(V, x + x)
    m = V.fma(less_one, power, power - V.constant(1.0))
    return V.code.select(given.equals(0.0), given, m / (m + V.constant(2.0)))  # -0.0 stays


def silu(V: Vectors, x: Value) -> Value:
    """Return x * sigmoid(x)."""
    return x * sigmoid(V, x)


def gelu(V: Vectors, x: Value) -> Value:
    """Return GELU in its tanh form, 0.5 x (1 + tanh(u)) = x * sigmoid(2u).

    u = sqrt(2 / pi) (x + 0.044715 x^3): Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    """
    u = V.constant(2 * math.sqrt(2 / math.pi)) * V.fma(V.constant(0.044715) * x * x, x, x)
    return x * sigmoid(V, u)


_FUNCTIONS = {SIGMOID: sigmoid, TANH: tanh, SILU: silu, GELU: gelu}


def activate(V: Vectors, x: Value, activation: Value) -> Value:
    """Apply the activation of this number to a vector."""
    result = V.code.variable(x)
    with V.code.when(activation.equals(RELU)):
        result.set(relu(V, x))
    if V.floating:
        with V.code.when(activation > RELU):
            result.set(V.code.call_once(f"activation_{V.dtype}", _transcendental, V, x, activation))
    return result.get()


def _transcendental(V: Vectors, x: Value, activation: Value) -> Value:
    """One function for all tiles: a call costs little beside tens of cycles, copies would fill the cache."""
    result = V.code.variable(x)
    for number, function in _FUNCTIONS.items():
        with V.code.when(activation.equals(number)):
            result.set(function(V, x))
    return result.get()
