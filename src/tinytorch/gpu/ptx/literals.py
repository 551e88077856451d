"""Literals in a PTX text: numbers, the constant expressions that may stand for an integer, and strings.

Integers are decimal, hexadecimal, octal or binary; floats are their bits (0f…, 0d…) or decimal fractions,
which are doubles. (PTX ISA 9.x, section 4.5.)
"""

import re
import struct

from tinytorch.gpu.ptx.lexer import Cursor
from tinytorch.gpu.ptx.program import Immediate

#: Parentheses in a constant expression may be nested this deep.
DEEPEST = 50

_BASES = (
    (re.compile(r"0[xX]([0-9a-fA-F]{1,70})U?"), 16),
    (re.compile(r"0[bB]([01]{1,70})U?"), 2),
    (re.compile(r"0([0-7]{1,70})U?"), 8),
    (re.compile(r"(0|[1-9][0-9]{0,70})U?"), 10),
)
_BITS = ((re.compile(r"0[fF]([0-9a-fA-F]{8})"), "f32"), (re.compile(r"0[dD]([0-9a-fA-F]{16})"), "f64"))
_DECIMAL = re.compile(r"\d{1,400}(?:\.\d{0,400}(?:[eE][+-]?\d{1,9})?|[eE][+-]?\d{1,9})")
#: What compilers write for a byte that is no plain character, and before a quote and a backslash.
_ESCAPED = re.compile(r'((?:\\[0-3][0-7]{2})+)|\\(["\\])')
_SIGN_BITS = {"f32": 1 << 31, "f64": 1 << 63}


def literal(word: str) -> Immediate | None:
    """Return the number that a word is; None if it is none.

    >>> literal("0x1F").value, literal("017").value, literal("0b11U").value, literal("12a")
    (31, 15, 3, None)
    >>> literal("0f3F800000"), literal("1.0").value == 0x3FF0000000000000
    (Immediate(value=1065353216, kind='f32'), True)
    """
    for pattern, base in _BASES:
        if match := pattern.fullmatch(word):
            return Immediate(int(match.group(1), base), "int")
    for pattern, kind in _BITS:
        if match := pattern.fullmatch(word):
            return Immediate(int(match.group(1), 16), kind)
    if _DECIMAL.fullmatch(word):
        return Immediate(int.from_bytes(struct.pack("<d", float(word)), "little"), "f64")
    return None


def unescaped(text: str) -> str:
    r"""Return what stands between the quotes of a string without escapes; octal ones are bytes of UTF-8.

    >>> unescaped(r"/home/\303\234ben 1/k.cu"), unescaped(r"C:\\303")
    ('/home/Üben 1/k.cu', 'C:\\303')
    """

    def plain(match: re.Match[str]) -> str:
        octal, character = match.groups()
        if octal is None:
            return str(character)
        return bytes(int(digits, 8) for digits in octal[1:].split("\\")).decode(errors="replace")

    return _ESCAPED.sub(plain, text)


def constant(cursor: Cursor) -> Immediate:
    """Take a constant expression of `+ - * ~ << >>` and parentheses; PtxError if it is none.

    >>> constant(Cursor("-(1 << 4) + 3;"))
    Immediate(value=-13, kind='int')
    """
    result = _shifts(cursor, 0)
    if result.kind == "int" and not -(2**63) <= result.value < 2**64:
        raise cursor.error("this integer has more than 64 bits")
    return result


def integer(cursor: Cursor) -> int:
    """Take a constant expression that is an integer."""
    result = constant(cursor)
    if result.kind != "int":
        raise cursor.error("expected an integer, found a fraction")
    return result.value


def count(cursor: Cursor, what: str, most: int = 2**31 - 1) -> int:
    """Take a plain integer from 0 to `most`; `what` it is is for the error."""
    number = literal(cursor.word)
    if number is None or number.kind != "int" or number.value > most:
        raise cursor.error(f"expected {what}, an integer up to {most}, found {cursor.found}")
    cursor.at += 1
    return number.value


def _shifts(cursor: Cursor, depth: int) -> Immediate:
    left = _sums(cursor, depth)
    while (sign := cursor.word) in ("<<", ">>"):
        cursor.at += 1
        value, places = _integers(cursor, left, _sums(cursor, depth))
        if not 0 <= places < 64:
            raise cursor.error(f"a shift by {places} places: 0 to 63 are possible")
        left = _bounded(cursor, value << places if sign == "<<" else value >> places)
    return left


def _sums(cursor: Cursor, depth: int) -> Immediate:
    left = _products(cursor, depth)
    while (sign := cursor.word) in ("+", "-"):
        cursor.at += 1
        value, other = _integers(cursor, left, _products(cursor, depth))
        left = _bounded(cursor, value + other if sign == "+" else value - other)
    return left


def _products(cursor: Cursor, depth: int) -> Immediate:
    left = _unary(cursor, depth)
    while cursor.accept("*"):
        value, other = _integers(cursor, left, _unary(cursor, depth))
        left = _bounded(cursor, value * other)
    return left


def _unary(cursor: Cursor, depth: int) -> Immediate:
    start = cursor.at
    while cursor.word in ("-", "+", "~"):
        cursor.at += 1
    signs = cursor.words[start : cursor.at]
    result = _primary(cursor, depth)
    for sign in reversed(signs):
        if result.kind != "int":
            flip = {"-": _SIGN_BITS[result.kind], "+": 0}.get(sign)
            if flip is None:
                raise cursor.error(f"{sign!r} does not go with a fraction")
            result = Immediate(result.value ^ flip, result.kind)
        elif sign != "+":
            result = Immediate(-result.value if sign == "-" else ~result.value, "int")
    return result


def _primary(cursor: Cursor, depth: int) -> Immediate:
    if cursor.accept("("):
        if depth == DEEPEST:
            raise cursor.error(f"parentheses are nested more than {DEEPEST} deep")
        result = _shifts(cursor, depth + 1)
        cursor.expect(")")
        return result
    if cursor.accept("WARP_SZ"):
        return Immediate(32, "int")
    number = literal(cursor.word)
    if number is None:
        raise cursor.error(f"expected a number, found {cursor.found}")
    cursor.at += 1
    return number


def _integers(cursor: Cursor, left: Immediate, right: Immediate) -> tuple[int, int]:
    if left.kind != "int" or right.kind != "int":
        raise cursor.error("only integers can be calculated with here")
    return left.value, right.value


def _bounded(cursor: Cursor, value: int) -> Immediate:
    if abs(value) >= 2**256:  # so that a chain of products stays cheap
        raise cursor.error("this integer has more than 64 bits")
    return Immediate(value, "int")
