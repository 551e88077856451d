"""Integer arithmetic: sums, products, quotients, extremes, sums of absolute differences and dot products.

Results wrap, as NumPy's do. What is wider than the operands is computed in the next wider type; 128-bit
products are put together from 32-bit halves. (PTX ISA 9.x, chapters 9.7.1 and 9.7.2.)
"""

from collections.abc import Callable

import numpy as np

from tinytorch.gpu.ptx.program import Instruction
from tinytorch.gpu.ptx.semantics.value import DTYPES, Array, Value, covers, of_ufunc, packed, split

INTEGERS = "u16|u32|u64|s16|s32|s64"

SIMPLE = {
    "add": np.add,
    "sub": np.subtract,
    "min": np.minimum,
    "max": np.maximum,
    "abs": np.absolute,
    "neg": np.negative,
    "rem": np.fmod,
}


@covers("add min max", f"{INTEGERS}|u16x2|s16x2")
@covers("sub", INTEGERS)
@covers("abs neg", "s16|s32|s64")
@covers("rem", INTEGERS)
def simple(instruction: Instruction) -> Value:
    """Make what NumPy has a function for. A remainder by zero is unspecified; here it is 0."""
    ufunc, kind = SIMPLE[instruction.opcode], instruction.modifiers[-1]
    if kind.endswith("x2"):
        return packed(of_ufunc(ufunc, DTYPES[kind.removesuffix("x2")]), "u4")
    return of_ufunc(ufunc, DTYPES[kind])


@covers("min max", "relu s32|s16x2")
def relu(instruction: Instruction) -> Value:
    """Make an extreme that is no less than zero."""
    extreme, kind = SIMPLE[instruction.opcode], instruction.modifiers[-1]
    dtype = DTYPES[kind.removesuffix("x2")]
    value = Value((dtype,) * 2, (dtype,), lambda a, b: np.maximum(extreme(a, b), 0))
    return packed(value, "u4") if kind.endswith("x2") else value


@covers("add sub", "sat s32")
def saturating(instruction: Instruction) -> Value:
    """Make a sum that stops at the ends of its range."""
    ufunc = SIMPLE[instruction.opcode]
    return Value(("i4",) * 2, ("i4",), lambda a, b: clamp(ufunc(a, b, dtype=np.int64), "i4"))


def clamp(values: Array, dtype: str) -> Array:
    """Return integers as a type, the nearest in its range where they are out of it."""
    ours, limits = np.iinfo(values.dtype), np.iinfo(dtype)
    return np.clip(values, max(ours.min, limits.min), min(ours.max, limits.max)).astype(dtype)


@covers("div", INTEGERS)
def quotient(instruction: Instruction) -> Value:
    """Make a quotient rounded toward zero. What a division by zero gives is unspecified; here it is 0."""
    dtype = DTYPES[instruction.modifiers[-1]]
    if dtype[0] == "u":
        return of_ufunc(np.floor_divide, dtype)
    return Value((dtype,) * 2, (dtype,), lambda a, b: (a - np.fmod(a, b)) // b)


@covers("sad", INTEGERS)
def sum_of_difference(instruction: Instruction) -> Value:
    """Make c + |a - b|."""
    dtype = DTYPES[instruction.modifiers[-1]]
    return Value((dtype,) * 3, (dtype,), lambda a, b, c: np.maximum(a, b) - np.minimum(a, b) + c)


# Products


@covers("mul mad", f"lo {INTEGERS}", f"hi {INTEGERS}", "wide u16|u32|s16|s32")
@covers("mul24 mad24", "lo|hi u32|s32")
def product(instruction: Instruction) -> Value:
    """Make a product: its low half, its high half, or all of it; and what is added to it."""
    part, kind = instruction.modifiers
    dtype = DTYPES[kind]
    if instruction.opcode == "mul" and part == "lo":
        return of_ufunc(np.multiply, dtype)
    result = twice(dtype) if part == "wide" else dtype
    multiply = _product24(part, dtype) if instruction.opcode.endswith("24") else multiplication(part, dtype)
    if instruction.opcode.startswith("mul"):
        return Value((dtype,) * 2, (result,), multiply)
    return Value((dtype, dtype, result), (result,), lambda a, b, c: multiply(a, b) + c)


@covers("mad mad24", "hi sat s32")
def saturating_product(instruction: Instruction) -> Value:
    """Make a product's high part plus c, which stops at the ends of its range."""
    multiply = _product24("hi", "i4") if instruction.opcode == "mad24" else multiplication("hi", "i4")
    return Value(("i4",) * 3, ("i4",), lambda a, b, c: clamp(np.add(multiply(a, b), c, dtype=np.int64), "i4"))


def twice(dtype: str) -> str:
    """Return the type of twice the size."""
    return f"{dtype[0]}{2 * int(dtype[1:])}"


def multiplication(part: str, dtype: str) -> Callable[[Array, Array], Array]:
    """Return the function that makes the "lo", "hi" or "wide" part of a product."""
    if part == "lo":
        return np.multiply
    if dtype[1:] == "8":
        return high_unsigned if dtype == "u8" else high_signed
    wide, bits = twice(dtype), 8 * int(dtype[1:])
    if part == "wide":
        return lambda a, b: np.multiply(a, b, dtype=wide)
    return lambda a, b: (np.multiply(a, b, dtype=wide) >> bits).astype(dtype)


def high_unsigned(a: Array, b: Array) -> Array:
    """Return bits 64 to 127 of the products of 64-bit numbers, from those of their halves."""
    a_low, a_high, b_low, b_high = a & 0xFFFFFFFF, a >> 32, b & 0xFFFFFFFF, b >> 32
    middle = a_high * b_low + (a_low * b_low >> 32)  # no sum here can overflow
    other = a_low * b_high + (middle & 0xFFFFFFFF)
    return a_high * b_high + (middle >> 32) + (other >> 32)


def high_signed(a: Array, b: Array) -> Array:
    """Return bits 64 to 127 of the products of signed 64-bit numbers: a negative one counts 2^64 less."""
    high = high_unsigned(a.view("u8"), b.view("u8")).view("i8")
    return high - np.where(a < 0, b, 0) - np.where(b < 0, a, 0)


def _product24(part: str, dtype: str) -> Callable[[Array, Array], Array]:
    """Return what multiplies the low 24 bits: bits 0 to 31 of the product, or 16 to 47."""
    shift = 0 if part == "lo" else 16

    def multiply(a: Array, b: Array) -> Array:
        wide = np.multiply(
            a << 8 >> 8, b << 8 >> 8, dtype=twice(dtype)
        )  # down again: with the sign, if it has one
        return (wide >> shift).astype(dtype)

    return multiply


# With a carry


@covers("add sub", "cc u32|s32|u64|s64")
@covers("addc subc", "[cc] u32|s32|u64|s64")
def carrying(instruction: Instruction) -> Value:
    """Make a sum with carry, or a difference with borrow. Two's complement: the sign does not matter."""
    dtype = "u" + DTYPES[instruction.modifiers[-1]][1:]
    step = add_carry if instruction.opcode.startswith("add") else subtract_borrow
    return _with_carry(instruction, (dtype,) * 2, lambda a, b: (a, b), step)


@covers("mad", "lo|hi cc u32|s32|u64|s64")
@covers("madc", "lo|hi [cc] u32|s32|u64|s64")
def carrying_product(instruction: Instruction) -> Value:
    """Make half of a product plus c with carry."""
    dtype = DTYPES[instruction.modifiers[-1]]
    unsigned = "u" + dtype[1:]
    multiply = multiplication(instruction.modifiers[0], dtype)
    return _with_carry(
        instruction, (dtype, dtype, unsigned), lambda a, b, c: (multiply(a, b).view(unsigned), c), add_carry
    )


Step = Callable[[Array, Array, Array], tuple[Array, Array]]


def _with_carry(
    instruction: Instruction, sources: tuple[str, ...], terms: Callable[..., tuple[Array, Array]], step: Step
) -> Value:
    result = "u" + sources[-1][1:]
    takes = instruction.opcode.endswith("c")
    gives = "cc" in instruction.modifiers

    def apply(*arrays: Array) -> Array | tuple[Array, Array]:
        *values, carry = arrays if takes else (*arrays, np.zeros((1, 1), bool))
        total, out = step(*terms(*values), carry)
        return (total, out) if gives else total

    return Value(sources + ("?",) * takes, (result,) + ("?",) * gives, apply, carry_in=takes, carry_out=gives)


def add_carry(a: Array, b: Array, carry: Array) -> tuple[Array, Array]:
    """Return a + b + carry and the carry out of it, of unsigned numbers."""
    part = a + b
    total = part + carry
    return total, (part < a) | (total < part)


def subtract_borrow(a: Array, b: Array, borrow: Array) -> tuple[Array, Array]:
    """Return a - b - borrow and the borrow out of it, of unsigned numbers."""
    part = a - b
    return part - borrow, (a < b) | (part < borrow)


# Dot products of packed integers


@covers("dp4a", "u32|s32 u32|s32")
def dot4(instruction: Instruction) -> Value:
    """Make the dot product of four bytes with four bytes, plus c."""
    first, second = (f"{DTYPES[kind][0]}1" for kind in instruction.modifiers)
    return _dot(instruction, lambda a, b: (split(a, first), split(b, second)))


@covers("dp2a", "lo|hi u32|s32 u32|s32")
def dot2(instruction: Instruction) -> Value:
    """Make the dot product of two 16-bit halves with the low or high two bytes, plus c."""
    first, second = (DTYPES[kind][0] for kind in instruction.modifiers[1:])
    bytes_ = slice(0, 2) if instruction.modifiers[0] == "lo" else slice(2, 4)
    return _dot(instruction, lambda a, b: (split(a, f"{first}2"), split(b, f"{second}1")[..., bytes_]))


def _dot(instruction: Instruction, parts: Callable[[Array, Array], tuple[Array, Array]]) -> Value:
    # Both unsigned: the result is u32; else s32. In 32 bits they wrap alike.
    kinds = instruction.modifiers[-2:]
    result = "u4" if kinds == ("u32", "u32") else "i4"

    def apply(a: Array, b: Array, c: Array) -> Array:
        left, right = parts(a, b)
        return np.multiply(left, right, dtype="i8").sum(axis=-1).astype(result) + c

    return Value(("u4", "u4", result), (result,), apply)
