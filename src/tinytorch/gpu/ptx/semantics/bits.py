"""Moves, logic, shifts and what else is done to bits: fields, permutations, counts.

Shift amounts clamp: what shifts by the width or more leaves nothing but zeros, or the sign.
(PTX ISA 9.x, chapters 9.7.1, 9.7.8 and 9.7.9.)
"""

import numpy as np

from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError, Pair, Vector
from tinytorch.gpu.ptx.semantics.compare import BOOLEAN
from tinytorch.gpu.ptx.semantics.value import DTYPES, Array, Value, covers, of_ufunc, split

# Moves


@covers("mov", "pred|b16|b32|b64|u16|u32|u64|s16|s32|s64|f32|f64")
def move(instruction: Instruction) -> Value:
    """Make a copy, or a register packed from a vector or unpacked to one; the first part is the lowest."""
    kind = instruction.modifiers[0]
    dtype = DTYPES[kind]
    if kind == "pred":
        return Value(("?",), ("?",), np.copy)
    result, source = instruction.operands[0], instruction.operands[-1]
    if isinstance(source, Vector):
        return _pack(instruction, dtype, len(source.parts))
    if isinstance(result, Vector):
        return _unpack(instruction, dtype, len(result.parts))
    return of_ufunc(np.positive, dtype)


def _part(instruction: Instruction, dtype: str, count: int) -> str:
    size = int(dtype[1:]) // count
    if dtype[0] != "u" or size * count != int(dtype[1:]) or count not in (2, 4):
        raise NotCoveredError(instruction, f"{count} parts of {dtype}")
    return f"u{size}"


def _pack(instruction: Instruction, dtype: str, count: int) -> Value:
    part = _part(instruction, dtype, count)

    def apply(*parts: Array) -> Array:
        return np.stack(np.broadcast_arrays(*parts), axis=-1).view(dtype)[..., 0]

    return Value((part,) * count, (dtype,), apply)


def _unpack(instruction: Instruction, dtype: str, count: int) -> Value:
    part = _part(instruction, dtype, count)

    def apply(a: Array) -> tuple[Array, ...]:
        return tuple(np.moveaxis(split(a, part), -1, 0))

    return Value((dtype,), (part,) * count, apply)


# Logic

LOGIC = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert}


@covers("and or xor not", "pred|b16|b32|b64")
def logic(instruction: Instruction) -> Value:
    """Make a bitwise function."""
    return of_ufunc(LOGIC[instruction.opcode], DTYPES[instruction.modifiers[0]])


@covers("cnot", "b16|b32|b64")
def logical_not(instruction: Instruction) -> Value:
    """Make 1 of zero and 0 of everything else."""
    dtype = DTYPES[instruction.modifiers[0]]
    return Value((dtype,), (dtype,), lambda a: (a == 0).astype(dtype))


@covers("lop3", "b32", "and|or b32")
def logic3(instruction: Instruction) -> Value:
    """Make any bitwise function of three, whose value for the bits a, b, c is bit 4a + 2b + c of a table.

    Any function of bits is an exclusive or of products of them (its algebraic normal form): found once, that
    takes few operations for the functions that are used.
    """
    predicate = len(instruction.modifiers) == 2
    table = instruction.operands[4] if len(instruction.operands) > 4 else None
    if not isinstance(table, Immediate):
        raise NotCoveredError(instruction, "its table is not a number")
    products = normal_form(table.value & 0xFF)

    def apply(a: Array, b: Array, c: Array, table: Array) -> Array:
        inputs = (a, b, c)
        shape = np.broadcast_shapes(a.shape, b.shape, c.shape)
        total = np.zeros(shape, "u4")
        for product in products:
            if product == ():
                np.invert(total, out=total)
                continue
            term = inputs[product[0]]
            for index in product[1:]:
                term = term & inputs[index]
            np.bitwise_xor(total, term, out=total)
        return total

    sources = ("u4",) * 4
    if not predicate:
        return Value(sources, ("u4",), apply)
    combine = BOOLEAN[instruction.modifiers[0]]
    if not isinstance(instruction.operands[0], Pair):
        raise NotCoveredError(instruction, "it has one result")

    def both(a: Array, b: Array, c: Array, table: Array, q: Array) -> tuple[Array, Array]:
        value = apply(a, b, c, table)
        return value, combine(value != 0, q)

    return Value((*sources, "?"), ("u4", "?"), both)


def normal_form(table: int) -> list[tuple[int, ...]]:
    """Return the products, as the indices of their factors, whose exclusive or a table of three bits is.

    >>> normal_form(0b10010110), normal_form(0b11000000)
    ([(2,), (1,), (0,)], [(0, 1)])
    """
    coefficients = [table >> index & 1 for index in range(8)]
    for bit in (1, 2, 4):  # the Möbius transform
        for index in range(8):
            if index & bit:
                coefficients[index] ^= coefficients[index ^ bit]
    places = ((4, 0), (2, 1), (1, 2))
    return [tuple(place for bit, place in places if index & bit) for index in range(8) if coefficients[index]]


# Shifts


@covers("shl", "b16|b32|b64")
@covers("shr", "b16|b32|b64|u16|u32|u64|s16|s32|s64")
def shift(instruction: Instruction) -> Value:
    """Make a shift by a 32-bit amount."""
    dtype = DTYPES[instruction.modifiers[0]]
    bits = 8 * int(dtype[1:])
    amount = instruction.operands[-1]
    if isinstance(amount, Immediate):
        return _shift_by(instruction.opcode, dtype, amount.value & 0xFFFFFFFF)
    if instruction.opcode == "shl":
        return Value((dtype, "u4"), (dtype,), lambda a, n: _shift_left(a, n, bits))
    if dtype[0] == "u":
        return Value((dtype, "u4"), (dtype,), lambda a, n: _shift_right(a, n, bits))
    # The amount, clamped, has the width of the operand: a sum of types would widen the result.
    return Value((dtype, "u4"), (dtype,), lambda a, n: a >> np.minimum(n, bits - 1).astype(dtype))


def _shift_by(opcode: str, dtype: str, amount: int) -> Value:
    """Return the shift by a known amount: one operation."""
    bits = 8 * int(dtype[1:])
    if amount >= bits and (opcode == "shl" or dtype[0] == "u"):
        return Value((dtype, "u4"), (dtype,), lambda a, n: np.zeros_like(a))
    ufunc = np.left_shift if opcode == "shl" else np.right_shift
    count = np.array(min(amount, bits - 1), dtype)
    return Value((dtype, "u4"), (dtype,), lambda a, n: ufunc(a, count))


def _shift_left(a: Array, n: Array, bits: int) -> Array:
    return np.where(n < bits, a << n.astype(a.dtype), a.dtype.type(0))


def _shift_right(a: Array, n: Array, bits: int) -> Array:
    return np.where(n < bits, a >> n.astype(a.dtype), a.dtype.type(0))


@covers("shf", "l|r clamp|wrap b32")
def funnel_shift(instruction: Instruction) -> Value:
    """Make the shift of the 64 bits b:a: its high half, shifted left, or its low half, shifted right."""
    direction, mode, _ = instruction.modifiers

    def apply(a: Array, b: Array, n: Array) -> Array:
        amount = (np.minimum(n, 32) if mode == "clamp" else n & 31).astype("u8")
        both = b.astype("u8") << 32 | a
        return (both << amount >> 32 if direction == "l" else both >> amount).astype("u4")

    return Value(("u4",) * 3, ("u4",), apply)


# Fields


@covers("bfe", "u32|u64|s32|s64")
def extract(instruction: Instruction) -> Value:
    """Make the field of `length` bits from `start`, both in a byte; a signed one is filled with its sign."""
    dtype = DTYPES[instruction.modifiers[0]]

    def unsigned(a: Array, start: Array, length: Array) -> Array:
        return (_shift_right(a.astype("u8"), start & 255, 64) & _ones(length & 255)).astype(dtype)

    def signed(a: Array, start: Array, length: Array) -> Array:
        field = a.astype("i8") >> np.minimum(start & 255, 63).astype("i8")
        spare = 64 - np.minimum(length & 255, 64).astype("i8")
        return np.where(spare == 64, 0, field << (spare & 63) >> (spare & 63)).astype(dtype)

    return Value((dtype, "u4", "u4"), (dtype,), unsigned if dtype[0] == "u" else signed)


def _ones(count: Array) -> Array:
    """Return 64-bit numbers with so many ones at the bottom; all from 64 on."""
    return np.where(
        count < 64, (np.uint64(1) << (count & 63).astype("u8")) - np.uint64(1), np.uint64(2**64 - 1)
    )


@covers("bfi", "b32|b64")
def insert(instruction: Instruction) -> Value:
    """Make b with the lowest bits of a in its field of `length` bits from `start`, both in a byte."""
    dtype = DTYPES[instruction.modifiers[0]]

    def apply(a: Array, b: Array, start: Array, length: Array) -> Array:
        field = _shift_left(_ones(length & 255), start & 255, 64)
        moved = _shift_left(a.astype("u8"), start & 255, 64)
        return (b & ~field | moved & field).astype(dtype)

    return Value((dtype, dtype, "u4", "u4"), (dtype,), apply)


@covers("szext", "clamp|wrap u32|s32")
def extend(instruction: Instruction) -> Value:
    """Make the sign- or zero-extension of the lowest n bits; none of them are 0."""
    mode, kind = instruction.modifiers
    signed = kind == "s32"

    def apply(a: Array, n: Array) -> Array:
        spare = (32 - np.minimum(n, 32) if mode == "clamp" else 32 - (n & 31)).astype("i8")
        wide = a.astype("i8" if signed else "u8") << (32 + spare).astype("i8" if signed else "u8")
        shifted = wide >> (32 + spare).astype(wide.dtype)
        return np.where(spare == 32, 0, shifted).astype(DTYPES[kind])

    return Value((DTYPES[kind], "u4"), (DTYPES[kind],), apply)


@covers("bmsk", "clamp|wrap b32")
def mask(instruction: Instruction) -> Value:
    """Make a run of n ones from a start."""
    wrap = instruction.modifiers[0] == "wrap"

    def apply(start: Array, n: Array) -> Array:
        if wrap:
            start, n = start & 31, n & 31
        return _shift_left(_ones(n), start, 64).astype("u4")

    return Value(("u4", "u4"), ("u4",), apply)


# Permutations


@covers("brev", "b32|b64")
def reverse(instruction: Instruction) -> Value:
    """Make the bits in reverse: the bytes turned round, then the bits of each by a table."""
    dtype = DTYPES[instruction.modifiers[0]]

    def apply(a: Array) -> Array:
        return _REVERSED[split(a, "u1")[..., ::-1]].view(dtype)[..., 0]

    return Value((dtype,), (dtype,), apply)


_REVERSED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], "u1")


def _selectors() -> dict[str, list[int]]:
    """Return the selector, four nibbles, that each mode of prmt makes of the two lowest bits of c."""

    def word(nibbles: list[int]) -> int:
        return sum(nibble << 4 * place for place, nibble in enumerate(nibbles))

    four = range(4)
    return {
        "f4e": [word([c + i for i in four]) for c in four],
        "b4e": [word([(c - i) % 8 for i in four]) for c in four],
        "rc8": [word([c] * 4) for c in four],
        "ecl": [word([max(i, c) for i in four]) for c in four],
        "ecr": [word([min(i, c) for i in four]) for c in four],
        "rc16": [word([2 * (c & 1), 2 * (c & 1) + 1] * 2) for c in four],
    }


SELECTORS = {mode: np.array(words, "u4") for mode, words in _selectors().items()}


@covers("prmt", "b32", "b32 f4e|b4e|rc8|ecl|ecr|rc16")
def permute(instruction: Instruction) -> Value:
    """Make four bytes of the eight of b:a; a nibble of c chooses each, its highest bit spreads the sign."""
    table = SELECTORS[instruction.modifiers[1]] if len(instruction.modifiers) == 2 else None
    control = instruction.operands[-1]
    if table is None and isinstance(control, Immediate) and not control.value & 0x8888:
        return _permute_by(control.value)

    def apply(a: Array, b: Array, c: Array) -> Array:
        selector = c if table is None else table[c & 3]
        both = b.astype("u8") << 32 | a
        result: Array = np.zeros((1, 1), "u4")
        for place in range(0, 16, 4):
            nibble = selector >> place
            byte = both >> ((nibble & 7) << 3) & 255
            byte = np.where(nibble & 8, (byte >> 7) * 255, byte)
            result = result | byte.astype("u4") << 2 * place
        return result

    return Value(("u4",) * 3, ("u4",), apply)


def _permute_by(selector: int) -> Value:
    """Return the permutation by a known selector: bytes that move together are moved together."""
    masks: dict[tuple[int, int], int] = {}
    for place in range(4):
        byte = selector >> 4 * place & 7
        key = byte // 4, 8 * (place - byte % 4)  # whether of a or b, and how far to the left
        masks[key] = masks.get(key, 0) | 255 << 8 * (byte % 4)

    def apply(*sources: Array) -> Array:
        result = np.zeros(np.broadcast_shapes(sources[0].shape, sources[1].shape), "u4")
        for (source, left), mask in masks.items():
            moved = sources[source] & mask
            result |= moved << left if left >= 0 else moved >> -left
        return result

    return Value(("u4",) * 3, ("u4",), apply)


# Counts


@covers("popc", "b32|b64")
def population(instruction: Instruction) -> Value:
    """Make the number of ones."""
    dtype = DTYPES[instruction.modifiers[0]]
    return Value((dtype,), ("u4",), lambda a: np.bitwise_count(a).astype("u4"))


@covers("clz", "b32|b64")
def leading_zeros(instruction: Instruction) -> Value:
    """Make the number of zeros above the highest one."""
    dtype = DTYPES[instruction.modifiers[0]]
    bits = 8 * int(dtype[1:])
    return Value((dtype,), ("u4",), lambda a: (bits - bit_length(a)).astype("u4"))


@covers("bfind", "[shiftamt] u32|u64|s32|s64")
def highest(instruction: Instruction) -> Value:
    """Make the place of the highest one, of a negative number the highest zero; 0xffffffff if there is none.

    With .shiftamt: by how much to shift left to have it at the top.
    """
    dtype = DTYPES[instruction.modifiers[-1]]
    bits = 8 * int(dtype[1:])
    amount = "shiftamt" in instruction.modifiers

    def apply(a: Array) -> Array:
        if dtype[0] == "i":
            a = (a ^ a >> (bits - 1)).view("u" + dtype[1:])
        length = bit_length(a)
        return np.where(length == 0, -1, bits - length if amount else length - 1).astype("i4").view("u4")

    return Value((dtype,), ("u4",), apply)


def bit_length(a: Array) -> Array:
    """Return the number of bits that unsigned numbers need: a double's exponent says it, up to 53 bits."""
    if a.dtype.itemsize < 8:
        return np.frexp(a.astype("f8"))[1]
    high = np.frexp((a >> 32).astype("f8"))[1]
    return np.where(high > 0, high + 32, np.frexp((a & 0xFFFFFFFF).astype("f8"))[1])


@covers("fns", "b32")
def nth_set(instruction: Instruction) -> Value:
    """Make the place of the n-th one at or above `base` (below it for a negative n); 0xffffffff if none.

    n = 0 asks whether the bit at `base` itself is one. A base above 31 finds nothing (not said by the ISA).
    """

    def apply(a: Array, base: Array, n: Array) -> Array:
        places = np.arange(32)
        ones = (a[..., None] >> places.astype("u4") & 1).astype(bool)
        start = base[..., None].astype("i8")
        count = n[..., None].astype("i8")
        up = (ones & (places >= start)).cumsum(axis=-1)
        down = (ones & (places <= start))[..., ::-1].cumsum(axis=-1)[..., ::-1]
        right = np.where(count > 0, up == count, (down == -count) & (places <= start))
        right = np.where(count == 0, places == start, right) & ones & (start < 32)
        return np.where(right.any(axis=-1), right.argmax(axis=-1), -1).astype("i4").view("u4")

    return Value(("u4", "u4", "i4"), ("u4",), apply)
