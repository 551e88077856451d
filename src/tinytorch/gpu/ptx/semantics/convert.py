"""Conversions between integers and floats of all widths, and packed pairs of narrow floats.

A float becomes an integer by rounding and then by clamping; what a NaN becomes is said in `not_a_number`.
Floats are narrowed once, from doubles that are exact or rounded to odd. (PTX ISA 9.x, chapter 9.7.9, cvt.)
"""

from collections.abc import Callable

import numpy as np

from tinytorch.gpu.ptx.program import Instruction, NotCoveredError
from tinytorch.gpu.ptx.semantics.floating import RND, positive, positive_bf16
from tinytorch.gpu.ptx.semantics.integer import clamp
from tinytorch.gpu.ptx.semantics.rounding import (
    FORMATS,
    canonical,
    double,
    flush,
    narrow,
    nearest_bf16,
    readable,
    rounded,
    saturated,
    to_odd,
    two_sum,
)
from tinytorch.gpu.ptx.semantics.value import DTYPES, Array, Value, covers, split

INTEGERS = "u8|u16|u32|u64|s8|s16|s32|s64"
FLOATS = "f16|bf16|f32|f64"
TO_INTEGER = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
RNDI = "|".join(TO_INTEGER)
WIDTHS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}

Function = Callable[[Array], Array]


@covers("cvt", f"[sat] {INTEGERS} {INTEGERS}")
def integers(instruction: Instruction) -> Value:
    """Make an integer of another width: its lowest bits, its extension, or with .sat the nearest."""
    result, source = (DTYPES[kind] for kind in instruction.modifiers[-2:])
    if "sat" in instruction.modifiers:
        return Value((source,), (result,), lambda a: clamp(a, result))
    if source == result:
        return Value((source,), (result,), np.positive, np.positive)
    return Value((source,), (result,), lambda a: a.astype(result))


@covers("cvt", f"{RNDI} [ftz] [sat] {INTEGERS} f32", f"{RNDI} [sat] {INTEGERS} f16|bf16|f64")
def to_integer(instruction: Instruction) -> Value:
    """Make the integer that a float is rounded to, the nearest there is if it is out of range."""
    result, kind = instruction.modifiers[-2:]
    round_ = TO_INTEGER[instruction.modifiers[0]]
    dtype = DTYPES[result]
    limits = np.iinfo(dtype)
    beyond = 2.0 ** (limits.max.bit_length())  # the first integer that is too large is a double
    nan_value = not_a_number(kind, result)
    ftz = "ftz" in instruction.modifiers

    def apply(a: Array) -> Array:
        a = double(flush(a) if ftz else a, kind)
        integer = round_(a)
        nan = np.isnan(a)
        safe = np.where((integer >= beyond) | nan, 0.0, np.maximum(integer, float(limits.min)))
        values = safe.astype(dtype)
        values[integer >= beyond] = limits.max
        values[nan] = nan_value
        return values

    return Value((DTYPES[kind],), (dtype,), apply)


def not_a_number(source: str, result: str) -> int:
    """Return the integer that a NaN becomes: 0, or of f64, or as one of 64 bits, its highest bit alone.

    >>> not_a_number("f32", "s32"), not_a_number("f64", "s32"), not_a_number("f32", "u64") == 2**63
    (0, -2147483648, True)
    """
    if source != "f64" and result not in ("s64", "u64"):
        return 0
    limits = np.iinfo(DTYPES[result])
    return limits.min if limits.min else (limits.max >> 1) + 1


@covers("cvt", f"{RND} [ftz] [sat] f32 {INTEGERS}", f"{RND} [sat] f16|bf16|f64 {INTEGERS}")
def from_integer(instruction: Instruction) -> Value:
    """Make the float nearest to an integer, or the next in a direction."""
    result, source = instruction.modifiers[-2:]
    rounding = instruction.modifiers[0]
    convert = _from_integer(result, rounding, DTYPES[source])
    if "sat" not in instruction.modifiers:
        return Value((DTYPES[source],), (DTYPES[result],), convert)
    if result == "bf16":
        raise NotCoveredError(instruction, "bf16 does not saturate to [0, 1]")
    return Value((DTYPES[source],), (DTYPES[result],), lambda a: saturated(convert(a)))


def _from_integer(result: str, rounding: str, source: str) -> Function:
    if result in ("f32", "f64") and rounding == "rn":
        return lambda a: a.astype(DTYPES[result])
    if int(source[1:]) < 8:
        if result == "f64":
            return lambda a: a.astype("f8")
        return lambda a: narrow(a.astype("f8"), result, rounding)

    def terms(a: Array) -> tuple[Array, Array]:
        return two_sum((a >> 32).astype("f8") * 2.0**32, (a & 0xFFFFFFFF).astype("f8"))

    if result != "f64":
        return lambda a: narrow(to_odd(*terms(a)), result, rounding)

    def directed(a: Array) -> Array:
        total, rest = terms(a)
        toward = {"rz": 0.0, "rm": -np.inf, "rp": np.inf}[rounding]
        back = (rest > 0) if rounding == "rp" else (rest < 0)
        if rounding == "rz":
            back = (rest != 0) & (np.signbit(rest) != np.signbit(total))
        return np.where(back, np.nextafter(total, toward), total)

    return directed


@covers("cvt", f"[{RND}|{RNDI}] [ftz] [sat] {FLOATS} {FLOATS}", "rn|rz [relu] [satfinite] f16|bf16 f32")
def floats(instruction: Instruction) -> Value:
    """Make a float of another format, or one rounded to an integer.

    Widening is exact and has no rounding; narrowing must say one. .satfinite gives the largest number for
    what is larger, and a NaN stays.
    """
    modifiers = instruction.modifiers
    result, source = modifiers[-2:]
    rounding = modifiers[0] if modifiers[0] in (*RND.split("|"), *TO_INTEGER) else ""
    narrows = WIDTHS[result] < WIDTHS[source] or (result != source and WIDTHS[result] == WIDTHS[source])
    if narrows != (rounding in RND.split("|")) or (rounding in TO_INTEGER and result != source):
        raise NotCoveredError(instruction, "its rounding does not go with its types")
    if "ftz" in modifiers and "f32" not in (result, source):
        raise NotCoveredError(instruction, ".ftz is for f32")
    if "sat" in modifiers and result == "bf16":
        raise NotCoveredError(instruction, "bf16 does not saturate to [0, 1]")
    return Value((DTYPES[source],), (DTYPES[result],), _steps(result, source, rounding, modifiers))


def _steps(result: str, source: str, rounding: str, modifiers: tuple[str, ...]) -> Function:
    """Return a conversion with all that its modifiers do before and after it."""
    steps: list[Function] = []
    if "ftz" in modifiers and source == "f32":
        steps.append(flush)
    if "satfinite" in modifiers:
        steps.append(lambda a: finite(a, FORMATS[result].largest))
    steps.append(_convert(result, source, rounding))
    if result == "tf32":
        steps.append(lambda a: (a.view("u4") & 0xFFFFE000).view("f4"))  # a NaN's bits, too
    if "ftz" in modifiers and result == "f32":
        steps.append(flush)
    if "sat" in modifiers:
        steps.append(saturated)
    if "relu" in modifiers:
        steps.append(positive_bf16 if result == "bf16" else positive)
    return chain(steps)


def chain(steps: list[Function]) -> Function:
    """Return the function that does one after the other."""
    if len(steps) == 1:
        return steps[0]

    def apply(a: Array) -> Array:
        for step in steps:
            a = step(a)
        return a

    return apply


def finite(a: Array, largest: float) -> Array:
    """Return floats clamped to the largest number of a format."""
    return np.clip(a, a.dtype.type(-largest), a.dtype.type(largest))


def _convert(result: str, source: str, rounding: str) -> Function:
    if rounding in TO_INTEGER:
        round_ = TO_INTEGER[rounding]
        if result == "bf16":
            return lambda a: narrow(round_(double(a, source)), result)
        return lambda a: canonical(round_(a))
    if result == source:
        return np.copy if result == "bf16" else (lambda a: canonical(a.copy()))
    if (result, source, rounding) == ("bf16", "f32", "rn"):
        return nearest_bf16
    if rounding in ("", "rn") and result in DTYPES and result != "bf16":
        return lambda a: canonical(readable(a, source).astype(DTYPES[result]))
    return lambda a: narrow(double(a, source), result, rounding)


@covers("cvt", "rna [satfinite] tf32 f32", "rn|rz [satfinite] [relu] tf32 f32")
def tensor_float(instruction: Instruction) -> Value:
    """Make a float32 with a significand of 11 bits, as tensor cores read it; rna: ties away from zero."""
    modifiers = instruction.modifiers
    return Value(("f4",), ("f4",), _steps("tf32", "f32", modifiers[0], modifiers))


# Pairs


@covers("cvt", "rn|rz [relu] [satfinite] f16x2|bf16x2 f32")
def halves(instruction: Instruction) -> Value:
    """Make a pair of halves: the first operand goes into the upper one."""
    kind = instruction.modifiers[-2].removesuffix("x2")
    convert = _steps(kind, "f32", instruction.modifiers[0], instruction.modifiers)

    def apply(a: Array, b: Array) -> Array:
        return convert(a).view("u2").astype("u4") << 16 | convert(b).view("u2")

    return Value(("f4", "f4"), ("u4",), apply)


EIGHT_BITS = "e4m3x2|e5m2x2"


@covers("cvt", f"rn satfinite [relu] {EIGHT_BITS} f32")
def to_eight_bits(instruction: Instruction) -> Value:
    """Make a pair of 8-bit floats of two float32: the first operand goes into the upper byte."""
    encode = _encoder(instruction)

    def apply(a: Array, b: Array) -> Array:
        return encode(a).astype("u2") << 8 | encode(b)

    return Value(("f4", "f4"), ("u2",), apply)


@covers("cvt", f"rn satfinite [relu] {EIGHT_BITS} f16x2")
def halves_to_eight_bits(instruction: Instruction) -> Value:
    """Make a pair of 8-bit floats of a pair of halves, in the same order."""
    encode = _encoder(instruction)
    return Value(("u4",), ("u2",), lambda a: encode(split(a, "f2")).view("u2")[..., 0])


def _encoder(instruction: Instruction) -> Function:
    kind = instruction.modifiers[-2].removesuffix("x2")
    relu = "relu" in instruction.modifiers
    return lambda a: encoded(positive(a) if relu else a, kind)


def encoded(a: Array, kind: str) -> Array:
    """Return floats as the bits of 8-bit ones: to nearest, the largest for what is larger, 0x7f for a NaN.

    >>> encoded(np.array([1.0, -1000.0, np.nan], "f4"), "e4m3").tolist() == [0x38, 0xFE, 0x7F]
    True
    """
    largest = FORMATS[kind].largest
    size = np.abs(np.clip(rounded(a.astype("f8"), kind, "rn"), -largest, largest))
    codes = np.searchsorted(_SIZES[kind], size) | np.signbit(a) << 7
    return np.where(np.isnan(a), 0x7F, codes).astype("u1")


def _decoding(kind: str) -> Array:
    """Return the 256 values of an 8-bit format, as float16, which holds them all."""
    form = FORMATS[kind]
    bits = form.precision - 1  # of the significand
    codes = np.arange(128)
    exponent, fraction = codes >> bits, codes & ((1 << bits) - 1)
    normal = exponent > 0
    values = np.ldexp(
        (fraction + (normal << bits)).astype("f8"), np.maximum(exponent, 1) - 1 + form.lowest - bits
    )
    if kind == "e5m2":  # as IEEE 754 has it: the highest exponent is for infinity and NaN
        values = np.where(exponent < 31, values, np.where(fraction == 0, np.inf, np.nan))
    values = np.where(codes == 127, np.nan, values).astype("f2")
    return canonical(np.concatenate([values, -values]))


#: What the 256 bytes of each format stand for (OCP 8-bit floating point, 2023).
EIGHT_BIT_VALUES = {kind: _decoding(kind) for kind in ("e4m3", "e5m2")}
_SIZES = {
    kind: values[:127][np.isfinite(values[:127])].astype("f8") for kind, values in EIGHT_BIT_VALUES.items()
}


@covers("cvt", f"rn [relu] f16x2 {EIGHT_BITS}")
def from_eight_bits(instruction: Instruction) -> Value:
    """Make a pair of halves of a pair of 8-bit floats, exactly."""
    table = EIGHT_BIT_VALUES[instruction.modifiers[-1].removesuffix("x2")]
    relu = "relu" in instruction.modifiers

    def apply(a: Array) -> Array:
        values = table[split(a, "u1")]
        return (positive(values) if relu else values).view("u4")[..., 0]

    return Value(("u2",), ("u4",), apply)


@covers("cvt", "pack sat u16|s16 s32", "pack sat u8|s8 s32 b32")
def pack(instruction: Instruction) -> Value:
    """Make a pair of saturated integers, the second operand the lower; of bytes with the third above."""
    dtype = DTYPES[instruction.modifiers[2]]
    unsigned, bits = f"u{dtype[1:]}", 8 * int(dtype[1:])

    def apply(a: Array, b: Array, *above: Array) -> Array:
        pair = clamp(a, dtype).view(unsigned).astype("u4") << bits | clamp(b, dtype).view(unsigned)
        return above[0] << 16 | pair if above else pair

    return Value(("i4", "i4") + ("u4",) * (bits == 8), ("u4",), apply)
