"""What integer, predicate and bit instructions compute for one lane, in plain Python, to hold others against.

`evaluate` takes and returns bit patterns, so it needs no NumPy, no widths but the instruction's own, and
nothing of how the library does it.
"""

from collections.abc import Callable, Sequence

from tinytorch.gpu.ptx.program import Immediate, Instruction, Pair, Vector

Bits = tuple[int, ...]


def evaluate(instruction: Instruction, values: Sequence[int]) -> Bits:
    """Return the bit patterns of an instruction's results, from those of its sources.

    Vectors and pairs are flattened, predicates are 0 or 1, the carry flag comes last. What is above a type's
    width in a source is not looked at. KeyError: an opcode that is not here.
    """
    return OPCODES[instruction.opcode](instruction, list(values))


def width(kind: str) -> int:
    return 1 if kind == "pred" else int(kind.lstrip("bus"))


def number(bits: int, kind: str) -> int:
    """Return what bits mean as a type."""
    bits &= (1 << width(kind)) - 1
    return bits - (1 << width(kind)) if kind[0] == "s" and bits >> (width(kind) - 1) else bits


def bits(value: int, kind: str) -> int:
    return value & ((1 << width(kind)) - 1)


def clamped(value: int, kind: str) -> int:
    top = (1 << width(kind)) - 1
    low, high = (-(top + 1) // 2, top // 2) if kind[0] == "s" else (0, top)
    return min(max(value, low), high)


def toward_zero(a: int, b: int) -> int:
    """Return a quotient; of a division by zero, which is not specified, 0."""
    if b == 0:
        return 0
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    return a - b * toward_zero(a, b) if b else 0


TWO: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "min": min,
    "max": max,
    "div": toward_zero,
    "rem": remainder,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def two(instruction: Instruction, values: list[int]) -> Bits:
    if "cc" in instruction.modifiers:
        return with_carry(instruction, values)
    kind = instruction.modifiers[-1]
    if kind.endswith("x2"):
        kind = kind[:-2]
        halves = [two_of(instruction, [value >> shift for value in values], kind) for shift in (0, 16)]
        return (halves[0] | halves[1] << 16,)
    return (two_of(instruction, values, kind),)


def two_of(instruction: Instruction, values: list[int], kind: str) -> int:
    result = TWO[instruction.opcode](*(number(value, kind) for value in values))
    if "relu" in instruction.modifiers:
        result = max(result, 0)
    if "sat" in instruction.modifiers:
        result = clamped(result, kind)
    return bits(result, kind)


ONE: dict[str, Callable[[int], int]] = {
    "abs": abs,
    "neg": lambda a: -a,
    "not": lambda a: ~a,
    "cnot": lambda a: int(a == 0),
}


def one(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[-1]
    return (bits(ONE[instruction.opcode](number(values[0], kind)), kind),)


def part_of_product(instruction: Instruction, a: int, b: int, kind: str) -> int:
    part = instruction.modifiers[0]
    if instruction.opcode.endswith("24"):
        kind = f"{kind[0]}24"
        product = number(a, kind) * number(b, kind)
        return product if part == "lo" else product >> 16
    product = number(a, kind) * number(b, kind)
    return product >> width(kind) if part == "hi" else product


def product(instruction: Instruction, values: list[int]) -> Bits:
    if "cc" in instruction.modifiers:
        return with_carry(instruction, values)
    kind = instruction.modifiers[-1]
    result = f"{kind[0]}{2 * width(kind)}" if instruction.modifiers[0] == "wide" else kind
    total = number(part_of_product(instruction, values[0], values[1], kind), result)
    if len(values) == 3:
        total += number(values[2], result)
    if "sat" in instruction.modifiers:
        total = clamped(total, result)
    return (bits(total, result),)


def with_carry(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[-1]
    takes = instruction.opcode in ("addc", "subc", "madc")
    carry = values.pop() if takes else 0
    if instruction.opcode in ("mad", "madc"):
        values = [part_of_product(instruction, values[0], values[1], kind), values[2]]
    a, b = (bits(value, kind) for value in values)
    total = a - b - carry if instruction.opcode in ("sub", "subc") else a + b + carry
    out = int(total < 0 or total >> width(kind) != 0)
    return (bits(total, kind), out) if "cc" in instruction.modifiers else (bits(total, kind),)


def sum_of_difference(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[-1]
    a, b, c = (number(value, kind) for value in values)
    return (bits(c + abs(a - b), kind),)


def dot(instruction: Instruction, values: list[int]) -> Bits:
    first, second = instruction.modifiers[-2:]
    a, b, c = values
    if instruction.opcode == "dp4a":
        pairs = [(number(a >> 8 * i, f"{first[0]}8"), number(b >> 8 * i, f"{second[0]}8")) for i in range(4)]
    else:
        above = 16 if instruction.modifiers[0] == "hi" else 0
        pairs = [
            (number(a >> 16 * i, f"{first[0]}16"), number(b >> above + 8 * i, f"{second[0]}8"))
            for i in range(2)
        ]
    return (bits(c + sum(x * y for x, y in pairs), "b32"),)


# Bits


def shift(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[-1]
    a, amount = number(values[0], kind), bits(values[1], "b32")
    amount = min(amount, width(kind))
    return (bits(a << amount if instruction.opcode == "shl" else a >> amount, kind),)


def funnel_shift(instruction: Instruction, values: list[int]) -> Bits:
    direction, mode, _ = instruction.modifiers
    a, b, amount = (bits(value, "b32") for value in values)
    amount = min(amount, 32) if mode == "clamp" else amount % 32
    both = b << 32 | a
    return (bits(both << amount >> 32 if direction == "l" else both >> amount, "b32"),)


def bit(value: int, place: int) -> int:
    return value >> place & 1


def extract(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[0]
    a, start, length = bits(values[0], kind), values[1] & 255, values[2] & 255
    last = width(kind) - 1
    sign = 0 if kind[0] == "u" or length == 0 else bit(a, min(start + length - 1, last))
    places = range(width(kind))
    return (sum((bit(a, start + i) if i < length and start + i <= last else sign) << i for i in places),)


def insert(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[0]
    a, result, start, length = bits(values[0], kind), bits(values[1], kind), values[2] & 255, values[3] & 255
    for i in range(length):
        if start + i < width(kind):
            result = result & ~(1 << start + i) | bit(a, i) << start + i
    return (result,)


def extend(instruction: Instruction, values: list[int]) -> Bits:
    mode, kind = instruction.modifiers
    length = bits(values[1], "b32")
    length = min(length, 32) if mode == "clamp" else length % 32
    return (bits(number(values[0], f"{kind[0]}{length}"), kind) if length else 0,)


def mask(instruction: Instruction, values: list[int]) -> Bits:
    start, length = (bits(value, "b32") for value in values)
    if instruction.modifiers[0] == "wrap":
        start, length = start % 32, length % 32
    return (sum(1 << i for i in range(32) if start <= i < start + length),)


def permute(instruction: Instruction, values: list[int]) -> Bits:
    a, b, c = (bits(value, "b32") for value in values)
    pool = [(b << 32 | a) >> 8 * i & 255 for i in range(8)]
    if len(instruction.modifiers) == 1:
        chosen = [c >> 4 * i & 15 for i in range(4)]
    else:
        modes = {  # the tables of the ISA, highest byte first
            "f4e": ("3210", "4321", "5432", "6543"),
            "b4e": ("5670", "6701", "7012", "0123"),
            "rc8": ("0000", "1111", "2222", "3333"),
            "ecl": ("3210", "3211", "3222", "3333"),
            "ecr": ("0000", "1110", "2210", "3210"),
            "rc16": ("1010", "3232", "1010", "3232"),
        }
        chosen = [int(digit) for digit in reversed(modes[instruction.modifiers[1]][c & 3])]
    result = 0
    for place, selector in enumerate(chosen):
        byte = pool[selector & 7]
        if selector & 8:
            byte = 255 if byte & 128 else 0
        result |= byte << 8 * place
    return (result,)


def logic3(instruction: Instruction, values: list[int]) -> Bits:
    table = instruction.operands[4]
    assert isinstance(table, Immediate)
    a, b, c = (bits(value, "b32") for value in values[:3])
    result = sum(bit(table.value, 4 * bit(a, i) + 2 * bit(b, i) + bit(c, i)) << i for i in range(32))
    if len(instruction.modifiers) == 1:
        return (result,)
    return (result, TWO[instruction.modifiers[0]](int(result != 0), values[4]))


def reverse(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[0]
    return (int(f"{bits(values[0], kind):0{width(kind)}b}"[::-1], 2),)


def count(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[0]
    value = bits(values[0], kind)
    return (value.bit_count() if instruction.opcode == "popc" else width(kind) - value.bit_length(),)


def highest(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[-1]
    value = number(values[0], kind)
    length = (~value if value < 0 else value).bit_length()
    if length == 0:
        return (0xFFFFFFFF,)
    return (width(kind) - length if "shiftamt" in instruction.modifiers else length - 1,)


def nth_set(instruction: Instruction, values: list[int]) -> Bits:
    value, base, offset = bits(values[0], "b32"), bits(values[1], "b32"), number(values[2], "s32")
    if base > 31:
        return (0xFFFFFFFF,)
    if offset == 0:
        return (base if bit(value, base) else 0xFFFFFFFF,)
    places = range(base, 32) if offset > 0 else range(base, -1, -1)
    ones = [place for place in places if bit(value, place)]
    return (ones[abs(offset) - 1] if len(ones) >= abs(offset) else 0xFFFFFFFF,)


# Comparisons, choices, moves, conversions

COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    **dict.fromkeys(("eq",), lambda a, b: a == b),
    **dict.fromkeys(("ne",), lambda a, b: a != b),
    **dict.fromkeys(("lt", "lo"), lambda a, b: a < b),
    **dict.fromkeys(("le", "ls"), lambda a, b: a <= b),
    **dict.fromkeys(("gt", "hi"), lambda a, b: a > b),
    **dict.fromkeys(("ge", "hs"), lambda a, b: a >= b),
}


def compare(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[-1]
    holds = int(COMPARISONS[instruction.modifiers[0]](number(values[0], kind), number(values[1], kind)))
    both = [holds, 1 - holds]
    if instruction.modifiers[1] in ("and", "or", "xor"):
        both = [TWO[instruction.modifiers[1]](one, values[2]) for one in both]
    if instruction.opcode == "set":
        return (bits(-both[0], instruction.modifiers[-2]),)
    return tuple(both) if isinstance(instruction.operands[0], Pair) else (both[0],)


def select(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[0]
    first = values[2] if instruction.opcode == "selp" else number(values[2], "s32") >= 0
    return (bits(values[0] if first else values[1], kind),)


def move(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[0]
    result = instruction.operands[0]
    if isinstance(result, Vector):
        each = width(kind) // len(result.parts)
        return tuple(values[0] >> each * i & ((1 << each) - 1) for i in range(len(result.parts)))
    each = width(kind) // len(values)
    return (sum((value & ((1 << each) - 1)) << each * i for i, value in enumerate(values)),)


def convert(instruction: Instruction, values: list[int]) -> Bits:
    if instruction.modifiers[0] == "pack":
        return pack(instruction, values)
    result, source = instruction.modifiers[-2:]
    value = number(values[0], source)
    return (bits(clamped(value, result) if "sat" in instruction.modifiers else value, result),)


def pack(instruction: Instruction, values: list[int]) -> Bits:
    kind = instruction.modifiers[2]
    high, low = (bits(clamped(number(value, "s32"), kind), kind) for value in values[:2])
    above = values[2] if len(values) == 3 else 0
    return (bits(above << 2 * width(kind) | high << width(kind) | low, "b32"),)


OPCODES: dict[str, Callable[[Instruction, list[int]], Bits]] = {
    **dict.fromkeys(TWO, two),
    **dict.fromkeys(ONE, one),
    **dict.fromkeys(("mul", "mad", "mul24", "mad24"), product),
    **dict.fromkeys(("addc", "subc", "madc"), with_carry),
    **dict.fromkeys(("dp4a", "dp2a"), dot),
    **dict.fromkeys(("shl", "shr"), shift),
    **dict.fromkeys(("popc", "clz"), count),
    **dict.fromkeys(("setp", "set"), compare),
    **dict.fromkeys(("selp", "slct"), select),
    "sad": sum_of_difference,
    "shf": funnel_shift,
    "bfe": extract,
    "bfi": insert,
    "szext": extend,
    "bmsk": mask,
    "prmt": permute,
    "lop3": logic3,
    "brev": reverse,
    "bfind": highest,
    "fns": nth_set,
    "mov": move,
    "cvt": convert,
}
