"""The approximations: reciprocals, roots, powers of two, logarithms, sine, cosine, tanh.

A GPU computes these with a few bits wrong (the ISA gives bounds, not bits). Here they are computed in
doubles and rounded: at least as accurate as any GPU, and not bitwise equal to one. What they make of zeros,
infinities and NaN is as the ISA's tables say. (PTX ISA 9.x, chapters 9.7.3 to 9.7.5.)
"""

from collections.abc import Callable

import numpy as np

from tinytorch.gpu.ptx.program import Instruction
from tinytorch.gpu.ptx.semantics.floating import floating
from tinytorch.gpu.ptx.semantics.rounding import double, narrow
from tinytorch.gpu.ptx.semantics.value import Array, Value, covers

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "rcp": np.reciprocal,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1.0 / np.sqrt(a),
    "sin": np.sin,
    "cos": np.cos,
    "lg2": np.log2,
    "ex2": np.exp2,
    "tanh": np.tanh,
}


@covers("rcp sqrt rsqrt sin cos lg2 ex2", "approx [ftz] f32")
@covers("ex2", "approx f16|f16x2", "approx ftz bf16|bf16x2")
@covers("tanh", "approx f32|f16|f16x2|bf16|bf16x2")
def approximation(instruction: Instruction) -> Value:
    """Make a function of one number, to about the last bit."""
    function = FUNCTIONS[instruction.opcode]
    return floating(instruction, 1, lambda kind, rounding: lambda a: narrow(function(double(a, kind)), kind))


@covers("div", "approx [ftz] f32")
def quotient(instruction: Instruction) -> Value:
    """Make a * (1 / b) without what is subnormal of 1 / b: beyond 2^126 it is 0, or NaN of an infinity."""

    def apply(a: Array, b: Array) -> Array:
        dividend, divisor = a.astype("f8"), b.astype("f8")
        result = dividend / divisor
        large = np.abs(divisor) > 2.0**126
        if large.any():
            result = np.where(large, dividend * np.copysign(0.0, divisor), result)
        return narrow(result, "f32")

    return floating(instruction, 2, lambda kind, rounding: apply)


@covers("rsqrt", "approx f64")
def inverse_root(instruction: Instruction) -> Value:
    """Make 1 / sqrt(a) of doubles."""
    return Value(("f8",), ("f8",), FUNCTIONS["rsqrt"])


@covers("rcp rsqrt", "approx ftz f64")
def upper_word(instruction: Instruction) -> Value:
    """Make a start for Newton's method: of the upper word alone, and with a lower word of zeros.

    Subnormal numbers count as zeros and become zeros.
    """
    function = FUNCTIONS[instruction.opcode]

    def apply(a: Array) -> Array:
        result = function(_upper(a)).view("u8")
        nearest = (result + np.uint64(0x80000000)).view("f8")  # half of the last place that is kept
        return _upper(np.where(np.isfinite(result.view("f8")), nearest, result.view("f8")))

    return Value(("f8",), ("f8",), apply)


def _upper(a: Array) -> Array:
    upper = (a.view("u8") & np.uint64(0xFFFFFFFF00000000)).view("f8")
    kept = np.where(np.abs(upper) < np.finfo("f8").tiny, np.copysign(0.0, upper), upper)
    return np.where(np.isnan(a), np.nan, kept)
