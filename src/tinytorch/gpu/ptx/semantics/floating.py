"""Float arithmetic: sums, products, fused multiply-adds, quotients, roots and extremes, rounded once.

To nearest, NumPy's own operations do it; a fused multiply-add and the directed roundings go by way of
doubles (see `rounding`), and those of doubles by exact fractions, lane by lane, which is slow.
(PTX ISA 9.x, chapters 9.7.3 to 9.7.5.)
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tinytorch.gpu.ptx.program import Instruction
from tinytorch.gpu.ptx.semantics import exact
from tinytorch.gpu.ptx.semantics.rounding import (
    ROUNDINGS,
    canonical,
    double,
    flush,
    narrow,
    nearest_bf16,
    readable,
    saturated,
    to_odd,
    two_sum,
)
from tinytorch.gpu.ptx.semantics.value import DTYPES, Array, Value, covers, packed

RND = "rn|rz|rm|rp"
Function = Callable[..., Array]


def floating(instruction: Instruction, count: int, compute: Callable[[str, str], Function]) -> Value:
    """Make a function of `count` floats, which `compute` gives for a type and a rounding, with its modifiers.

    Those are .ftz, which flushes what is subnormal going in and coming out, .sat and .relu.
    Not said by the ISA, and not confirmed on a GPU: that a result is flushed by what it is after rounding,
    and the bits of a NaN of f64 (here those that this computer's processor makes).
    """
    modifiers = instruction.modifiers
    kind = modifiers[-1].removesuffix("x2")
    function = compute(kind, next((name for name in modifiers if name in ROUNDINGS), "rn"))
    after = [step for name, step in _after(kind).items() if name in modifiers]
    before = flush if "ftz" in modifiers else None

    def apply(*arrays: Array) -> Array:
        if before is not None:
            arrays = tuple(map(before, arrays))
        result = function(*arrays)
        for step in after:
            result = step(result)
        return result

    value = Value((DTYPES[kind],) * count, (DTYPES[kind],), apply if after or before else function)
    return packed(value, DTYPES[modifiers[-1]]) if modifiers[-1] != kind else value


def _after(kind: str) -> dict[str, Function]:
    """Return what the modifiers do to a result, in the order in which they do it."""
    return {
        "ftz": flush,
        "sat": saturated,
        "relu": positive_bf16 if kind == "bf16" else positive,
    }


def positive(a: Array) -> Array:
    """Return values with negative ones and -0 as +0; NaN is kept, as canonical as it was."""
    return np.where(a <= 0, a.dtype.type(0), a)


def positive_bf16(a: Array) -> Array:
    """Return `positive` of bfloat16's bits, whose highest is the sign."""
    return np.where(a >> 15 == 1, np.uint16(0), a)


# Sums and products

NUMPY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


@covers(
    "add sub mul",
    f"[{RND}] [ftz] [sat] f32",
    f"[{RND}] f64",
    "[rn] [ftz] [sat] f16|f16x2",
    "[rn] bf16|bf16x2",
)
@covers("add sub mul", f"[{RND}] [ftz] f32x2")
def arithmetic(instruction: Instruction) -> Value:
    """Make a sum, difference or product."""
    if instruction.modifiers[-1] == "f64" and not set(instruction.modifiers) & {"rz", "rm", "rp"}:
        ufunc = NUMPY[instruction.opcode]
        return Value(("f8", "f8"), ("f8",), ufunc, ufunc)
    return floating(instruction, 2, lambda kind, rounding: _arithmetic(instruction.opcode, kind, rounding))


@covers("add sub", f"[{RND}] [sat] f32 f16|bf16")
@covers("fma", f"{RND} [sat] f32 f16|bf16")
def mixed(instruction: Instruction) -> Value:
    """Make a float32 sum or fused multiply-add whose first operands are narrow; widening them is exact."""
    kind = instruction.modifiers[-1]
    maker = multiply_add if instruction.opcode == "fma" else arithmetic
    value = maker(replace(instruction, modifiers=instruction.modifiers[:-1]))
    count = len(value.sources) - 1

    def apply(*arrays: Array) -> Array:
        return value.apply(*(readable(a, kind).astype("f4") for a in arrays[:count]), arrays[count])

    return Value((DTYPES[kind],) * count + ("f4",), ("f4",), apply)


def _arithmetic(opcode: str, kind: str, rounding: str) -> Function:
    ufunc = NUMPY[opcode]
    if kind == "f64":
        return exact.function(opcode, rounding)
    if kind == "bf16":  # float32 has more than twice the bits: rounding twice is as once (Figueroa 1995)
        if opcode == "mul":  # but its products can be subnormal in float32: a double holds them
            return lambda a, b: narrow(double(a, kind) * double(b, kind), kind)
        return lambda a, b: nearest_bf16(ufunc(readable(a, kind), readable(b, kind)))
    if rounding == "rn":  # for float16 NumPy goes by way of float32, as above
        return lambda a, b: canonical(ufunc(a, b))
    if opcode == "mul":
        return lambda a, b: narrow(np.multiply(a, b, dtype="f8"), kind, rounding)
    sign = -1.0 if opcode == "sub" else 1.0
    return lambda a, b: narrow(
        directed_sum(double(a, kind), sign * double(b, kind), rounding), kind, rounding
    )


def directed_sum(a: Array, b: Array, rounding: str) -> Array:
    """Return the sum of doubles rounded to odd; x - x is -0 if later rounding is down, else +0."""
    if rounding == "rm":
        return -to_odd(*two_sum(-a, -b))
    return to_odd(*two_sum(a, b))


@covers("fma mad", f"{RND} [ftz] [sat] f32", f"{RND} f64")
@covers("fma", f"{RND} [ftz] f32x2", "rn [ftz] [sat|relu] f16|f16x2", "rn [relu] bf16|bf16x2")
def multiply_add(instruction: Instruction) -> Value:
    """Make a * b + c, rounded once."""
    return floating(instruction, 3, _multiply_add)


def _multiply_add(kind: str, rounding: str) -> Function:
    if kind == "f64":
        return exact.multiply_add if rounding == "rn" else exact.function("fma", rounding)
    if kind == "f32" and rounding == "rn":
        return multiply_add32

    if kind == "f16":
        # A double holds the sum exactly, but where the product is below 2^-31 of c (the sum is then next to
        # c, far from a tie) or beyond the range of float16.
        return lambda a, b, c: narrow(double(a, kind) * double(b, kind) + double(c, kind), kind)

    def apply(a: Array, b: Array, c: Array) -> Array:
        product = double(a, kind) * double(b, kind)  # exact
        return narrow(directed_sum(product, double(c, kind), rounding), kind, rounding)

    return apply


def multiply_add32(a: Array, b: Array, c: Array) -> Array:
    """Return a * b + c of float32, rounded once to nearest.

    The product is exact in a double. The sum is rounded there, and again to float32, which matters only
    where it has come to lie just between two of those: there it is rounded to odd first.
    """
    product = np.multiply(a, b, dtype="f8")
    total = product + c
    result = total.astype("f4")
    suspects = (total.view("i8") & 0xFFFFFFF) == 0  # between two: the lower 28 bits of a double are zeros
    suspects &= result != total
    if suspects.any():
        suspects &= np.isfinite(total)
        addend = np.broadcast_to(c, total.shape)[suspects].astype("f8")
        factors = np.broadcast_to(product, total.shape)[suspects]
        result[suspects] = to_odd(*two_sum(factors, addend)).astype("f4")
    return canonical(result)


# Quotients and roots


@covers("div", f"{RND} [ftz] f32", f"{RND} f64", "full [ftz] f32")
def quotient(instruction: Instruction) -> Value:
    """Make a quotient; div.full, which on a GPU may be off by 2 in the last place, is rounded once, too."""
    return floating(instruction, 2, _quotient)


@covers("rcp", f"{RND} [ftz] f32", f"{RND} f64")
def reciprocal(instruction: Instruction) -> Value:
    """Make 1 / a."""

    def compute(kind: str, rounding: str) -> Function:
        divide, one = _quotient(kind, rounding), np.ones((1, 1), DTYPES[kind])
        return lambda a: divide(one, a)

    return floating(instruction, 1, compute)


@covers("sqrt", f"{RND} [ftz] f32", f"{RND} f64")
def root(instruction: Instruction) -> Value:
    """Make a square root."""
    return floating(instruction, 1, _root)


def _quotient(kind: str, rounding: str) -> Function:
    if rounding == "rn":
        return lambda a, b: canonical(a / b)
    if kind == "f64":
        return exact.function("div", rounding)
    # A quotient of 24-bit numbers that is no such number is 2^-48 of itself or more away from all of them, a
    # root 2^-49: rounding to a double, which moves it by 2^-53 at most, takes it past none.
    return lambda a, b: narrow(np.divide(a, b, dtype="f8"), kind, rounding)


def _root(kind: str, rounding: str) -> Function:
    if rounding == "rn":
        return lambda a: canonical(np.sqrt(a))
    if kind == "f64":
        return exact.function("sqrt", rounding)
    return lambda a: narrow(np.sqrt(a, dtype="f8"), kind, rounding)


# Signs and extremes


@covers("abs neg", "[ftz] f32", "f64", "[ftz] f16|f16x2", "bf16|bf16x2")
def sign(instruction: Instruction) -> Value:
    """Make a number with its sign taken away or turned, that of a NaN, too."""
    if instruction.modifiers[-1].startswith("bf16"):
        clear = instruction.opcode == "abs"
        dtype = DTYPES[instruction.modifiers[-1]]
        bits = np.array(0x80008000 if dtype == "u4" else 0x8000, dtype)
        return Value((dtype,), (dtype,), (lambda a: a & ~bits) if clear else (lambda a: a ^ bits))
    ufunc = np.absolute if instruction.opcode == "abs" else np.negative
    if len(instruction.modifiers) == 1 and not instruction.modifiers[0].endswith("x2"):
        dtype = DTYPES[instruction.modifiers[0]]
        return Value((dtype,), (dtype,), ufunc, ufunc)
    return floating(instruction, 1, lambda kind, rounding: ufunc)


@covers("copysign", "f32|f64")
def copy_sign(instruction: Instruction) -> Value:
    """Make b with the sign of a."""
    dtype = DTYPES[instruction.modifiers[0]]
    return Value((dtype,) * 2, (dtype,), lambda a, b: np.copysign(b, a))


@covers("min max", "[ftz] [NaN] [xorsign.abs] f32|f16|f16x2", "f64", "[NaN] [xorsign.abs] bf16|bf16x2")
def extreme(instruction: Instruction) -> Value:
    """Make the smaller or larger; -0 is less than +0. A NaN counts only with .NaN, or if both are one.

    .xorsign.abs compares magnitudes and gives the result the product of the signs. Of three operands
    (float32 alone) it is that of the third and of the first two.
    """
    modifiers = instruction.modifiers
    three = modifiers[-1] == "f32" and len(instruction.operands) == 4 and "xorsign" not in modifiers

    def compute(kind: str, rounding: str) -> Function:
        choose = _extreme(instruction.opcode, "NaN" in modifiers)
        if "xorsign" in modifiers:
            choose = _signed_apart(choose)
        if kind == "bf16":
            return lambda a, b: (choose(readable(a, kind), readable(b, kind)).view("u4") >> 16).astype("u2")
        return (lambda a, b, c: choose(choose(a, b), c)) if three else choose

    return floating(instruction, 3 if three else 2, compute)


def _extreme(opcode: str, nan: bool) -> Function:
    ufunc = np.minimum if opcode == "min" else np.maximum

    def apply(a: Array, b: Array) -> Array:
        result = ufunc(a, b)
        lost = np.isnan(result)
        if lost.any():
            if not nan:  # np.fmin and np.fmax do not pass over every NaN: signaling ones come through
                result[lost] = np.where(np.isnan(a), b, a)[lost]
            canonical(result)
        zeros = result == 0
        if zeros.any():  # NumPy returns either of two zeros
            zeros &= a == b
            negative = (np.signbit(a) | np.signbit(b)) if opcode == "min" else (np.signbit(a) & np.signbit(b))
            result[zeros] = np.where(negative, result.dtype.type(-0.0), result.dtype.type(0.0))[zeros]
        return result

    return apply


def _signed_apart(choose: Function) -> Function:
    def apply(a: Array, b: Array) -> Array:
        result = choose(np.abs(a), np.abs(b))
        return canonical(np.where(np.signbit(a) != np.signbit(b), -result, result))

    return apply
