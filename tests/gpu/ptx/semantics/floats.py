"""What float instructions compute for one lane, from the definition of rounding, in exact fractions.

A format's numbers, positive ones by their bit patterns, lie in order: a result is between two neighbours,
which are searched for, and the rounding chooses one. Nothing here knows of doubles or error terms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tinytorch.gpu.ptx.program import Instruction


@dataclass(frozen=True)
class Layout:
    """A format's fields: bits of the exponent and of the significand as stored."""

    exponent: int
    fraction: int
    finite: int = -1  # the code of the largest number, if it is not that before infinity's

    @property
    def infinity(self) -> int:
        return ((1 << self.exponent) - 1) << self.fraction

    @property
    def sign(self) -> int:
        return 1 << (self.exponent + self.fraction)

    @property
    def largest(self) -> int:
        return self.finite if self.finite >= 0 else self.infinity - 1


LAYOUTS = {
    "f16": Layout(5, 10),
    "bf16": Layout(8, 7),
    "f32": Layout(8, 23),
    "f64": Layout(11, 52),
    "tf32": Layout(8, 10),
    "e5m2": Layout(5, 2),
    "e4m3": Layout(4, 3, finite=0x7E),
}
NAN = {"f16": 0x7FFF, "bf16": 0x7FFF, "f32": 0x7FFFFFFF, "tf32": 0x3FFFF, "e5m2": 0x7F, "e4m3": 0x7F}

#: A number that is read: a fraction with the sign that a zero needs, or a float that is infinite or NaN.
Number = tuple[Fraction | float, int]


def steps(code: int, layout: Layout) -> int:
    """Return the number that a positive code stands for, in units of the smallest one; infinity's goes on."""
    exponent, fraction = code >> layout.fraction, code & ((1 << layout.fraction) - 1)
    return (fraction | 1 << layout.fraction) << exponent - 1 if exponent else fraction


def unit(layout: Layout) -> Fraction:
    """Return the smallest positive number."""
    return Fraction(1, 1 << ((1 << layout.exponent - 1) - 2 + layout.fraction))


def magnitude(code: int, layout: Layout) -> Fraction:
    return steps(code, layout) * unit(layout)


def read(bits: int, kind: str, ftz: bool = False) -> Number:
    """Return what bits mean, and the sign, 1 or -1."""
    layout = LAYOUTS[kind]
    sign = -1 if bits & layout.sign else 1
    code = bits & (layout.sign - 1)
    if layout.finite >= 0:
        return (math.nan if code > layout.finite else sign * magnitude(code, layout)), sign
    if code >= layout.infinity:
        return (math.nan if code > layout.infinity else sign * math.inf), sign
    if ftz and code >> layout.fraction == 0:
        return Fraction(0), sign
    return sign * magnitude(code, layout), sign


@dataclass(frozen=True)
class Root:
    """The square root of a fraction, which need not be one."""

    square: Fraction


def write(target: "Fraction | Root", sign: int, kind: str, rounding: str, ftz: bool = False) -> int:
    """Return the bits of sign * target, which is not negative, rounded."""
    layout = LAYOUTS[kind]
    square = isinstance(target, Root)
    scaled = target.square / unit(layout) ** 2 if isinstance(target, Root) else target / unit(layout)

    def above(twice: int) -> int:
        """Return the sign of target - twice / 2 units."""
        ours, theirs = (
            scaled.numerator << (2 if square else 1),
            scaled.denominator * twice ** (2 if square else 1),
        )
        return (ours > theirs) - (ours < theirs)

    low, high = 0, layout.largest
    while low < high:  # the largest code that is not above the target
        middle = (low + high + 1) // 2
        low, high = (middle, high) if above(2 * steps(middle, layout)) >= 0 else (low, middle - 1)
    if above(2 * steps(low, layout)) > 0:
        half = above(steps(low, layout) + steps(low + 1, layout))
        up = {
            "rn": half > 0 or (half == 0 and low & 1),
            "rna": half >= 0,
            "rz": False,
            "rm": sign < 0,
            "rp": sign > 0,
        }[rounding]
        low += bool(up)
    if ftz and low >> layout.fraction == 0:
        low = 0
    return low | (layout.sign if sign < 0 else 0)


def special(value: float, kind: str) -> int:
    """Return the bits of an infinity, a NaN or a signed zero."""
    layout = LAYOUTS[kind]
    if math.isnan(value):
        return NAN.get(kind, layout.infinity | 1)
    sign = layout.sign if math.copysign(1, value) < 0 else 0
    return sign | (layout.infinity if math.isinf(value) else 0)


OPERATIONS: dict[str, Callable[..., object]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "rcp": lambda a: 1 / a,
    "fma": lambda a, b, c: a * b + c,
    "sqrt": Root,
}


def arithmetic(operation: str, numbers: Sequence[Number], kind: str, rounding: str, ftz: bool = False) -> int:
    """Return the bits of an operation's result."""
    values = [value for value, _ in numbers]
    undefined = operation in ("div", "rcp") and values[-1] == 0
    undefined |= operation == "sqrt" and values[0] < 0
    if undefined or not all(isinstance(value, Fraction) for value in values):
        return special(by_signs(operation, numbers), kind)
    exact = OPERATIONS[operation](*values)
    if isinstance(exact, Root):
        return (
            write(exact, 1, kind, rounding, ftz)
            if exact.square
            else special(math.copysign(0, numbers[0][1]), kind)
        )
    assert isinstance(exact, Fraction)
    if exact:
        return write(abs(exact), 1 if exact > 0 else -1, kind, rounding, ftz)
    signs = [sign for _, sign in numbers]
    return special(math.copysign(0, zero_sign(operation, signs, rounding)), kind)


def zero_sign(operation: str, signs: Sequence[int], rounding: str) -> int:
    """Return the sign of a zero: of a sum of opposite signs + but when rounding down; of a product theirs."""
    if operation in ("mul", "div"):
        return signs[0] * signs[1]
    terms = {"add": signs, "sub": [signs[0], -signs[-1]], "fma": [math.prod(signs[:2]), signs[-1]]}[operation]
    if terms[0] == terms[1]:
        return terms[0]
    return -1 if rounding == "rm" else 1


def by_signs(operation: str, numbers: Sequence[Number]) -> float:
    """Return a result that is infinite, NaN or zero: of ones and zeros, as only signs count for it."""

    def stand_in(value: Fraction | float, sign: int) -> np.float64:
        if isinstance(value, float):
            return np.float64(value)
        return np.float64(math.copysign(1.0 if value else 0.0, sign))

    with np.errstate(all="ignore"):
        values = [stand_in(*number) for number in numbers]
        return float(np.sqrt(values[0]) if operation == "sqrt" else OPERATIONS[operation](*values))


def saturate(bits: int, kind: str) -> int:
    """Return a result clamped to [0, 1], NaN as 0."""
    value, _ = read(bits, kind)
    if math.isnan(value) or value <= 0:
        return 0
    return write(Fraction(1), 1, kind, "rn") if value >= 1 else bits


def evaluate(instruction: Instruction, values: Sequence[int]) -> int:
    """Return the bits that an arithmetic float instruction makes of bits."""
    modifiers = instruction.modifiers
    kind = modifiers[-1]
    scalar = kind.removesuffix("x2")
    width = LAYOUTS[scalar].sign.bit_length()
    result = 0
    for part in range(2 if kind != scalar else 1):
        shift, mask = part * width, (1 << width) - 1
        result |= one(instruction, [value >> shift & mask for value in values], scalar) << shift
    return result


def one(instruction: Instruction, values: Sequence[int], kind: str) -> int:
    modifiers, layout = instruction.modifiers, LAYOUTS[kind]
    ftz = "ftz" in modifiers
    numbers = [read(value, kind, ftz) for value in values]
    opcode = "fma" if instruction.opcode == "mad" else instruction.opcode
    if opcode in ("min", "max"):
        return extreme(opcode, numbers, kind, "NaN" in modifiers, "xorsign" in modifiers)
    if opcode in ("abs", "neg", "copysign"):
        return sign_only(opcode, values, numbers, layout)
    rounding = next((name for name in modifiers if name in ("rn", "rz", "rm", "rp")), "rn")
    bits = arithmetic(opcode, numbers, kind, rounding, ftz)
    if "sat" in modifiers:
        bits = saturate(bits, kind)
    if "relu" in modifiers and bits & layout.sign:
        bits = 0
    return bits


def sign_only(opcode: str, values: Sequence[int], numbers: Sequence[Number], layout: Layout) -> int:
    code = values[-1] & (layout.sign - 1)
    if numbers[-1][0] == 0:  # flushed, if it was
        code = 0
    negative = {"abs": False, "neg": not values[0] & layout.sign, "copysign": values[0] & layout.sign}[opcode]
    return code | (layout.sign if negative else 0)


def extreme(opcode: str, numbers: Sequence[Number], kind: str, nan: bool, xorsign: bool) -> int:
    """Return the extreme of two or three; a NaN wins with .NaN, and otherwise is passed over."""
    signs = math.prod(sign for _, sign in numbers)
    there = [number for number in numbers if not math.isnan(number[0])]
    if not there or (nan and len(there) < len(numbers)):
        return special(math.nan, kind)
    if xorsign:
        there = [(abs(value), 1) for value, _ in there]
    value, sign = (min if opcode == "min" else max)(there)  # a tuple: of two zeros the sign decides
    if xorsign:
        sign = signs
    if isinstance(value, float):
        return special(math.copysign(value, sign), kind)
    return write(abs(value), sign, kind, "rz")
