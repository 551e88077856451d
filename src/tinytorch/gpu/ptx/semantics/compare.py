"""Comparisons and what is chosen by them: setp, set, selp, slct, testp.

Ordered comparisons are false of a NaN, as NumPy's are; the unordered ones (with a u) are true of it.
(PTX ISA 9.x, chapters 9.7.6 and 9.7.7.)
"""

from collections.abc import Callable

import numpy as np

from tinytorch.gpu.ptx.program import Instruction, NotCoveredError, Pair
from tinytorch.gpu.ptx.semantics.rounding import flush, readable
from tinytorch.gpu.ptx.semantics.value import DTYPES, Array, Value, covers, split

BOOLEAN = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}

ORDERED = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
UNSIGNED = {"lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal}

_FLOAT = "|".join([*ORDERED, *(f"{name}u" for name in ("eq", "ne", "lt", "le", "gt", "ge")), "num", "nan"])
_COMPARISONS = [
    ("eq|ne", "", "b16|b32|b64"),
    ("|".join(ORDERED), "", "s16|s32|s64"),
    ("|".join([*ORDERED, *UNSIGNED]), "", "u16|u32|u64"),
    (_FLOAT, "[ftz]", "f32"),
    (_FLOAT, "", "f64"),
]
_HALVES = [(_FLOAT, "[ftz]", "f16|f16x2"), (_FLOAT, "", "bf16|bf16x2")]


def comparison(operator: str, kind: str, ftz: bool) -> Callable[[Array, Array], Array]:
    """Return the function of two arrays, as they are kept, that compares them."""
    if kind[0] in "bus" and not kind.startswith("bf"):
        return {**ORDERED, **UNSIGNED}[operator]
    compare = _float_comparison(operator)
    if kind == "bf16":
        return lambda a, b: compare(readable(a, kind), readable(b, kind))
    if ftz:
        return lambda a, b: compare(flush(a), flush(b))
    return compare


def _float_comparison(operator: str) -> Callable[[Array, Array], Array]:
    if operator in ("num", "nan"):
        either = operator == "nan"
        return lambda a, b: (np.isnan(a) | np.isnan(b)) == either
    if operator == "ne":  # NumPy's is true of a NaN
        return lambda a, b: (a < b) | (a > b)
    if operator in ORDERED:
        return ORDERED[operator]
    opposites = {"equ": "ne", "neu": "eq", "ltu": "ge", "leu": "gt", "gtu": "le", "geu": "lt"}
    opposite = _float_comparison(opposites[operator])
    return lambda a, b: ~opposite(a, b)


@covers(
    "setp", *(f"{operators} [and|or|xor] {ftz} {kinds}" for operators, ftz, kinds in _COMPARISONS + _HALVES)
)
def set_predicate(instruction: Instruction) -> Value:
    """Make a comparison, combined with a predicate; a second result combines its opposite.

    Of packed halves the two results are those of the low and the high half.
    """
    operator, kind = instruction.modifiers[0], instruction.modifiers[-1]
    scalar = kind.removesuffix("x2")
    compare = comparison(operator, scalar, "ftz" in instruction.modifiers)
    combine = next((BOOLEAN[name] for name in instruction.modifiers if name in BOOLEAN), None)
    pair = isinstance(instruction.operands[0], Pair)
    sources = (DTYPES[kind],) * 2
    if kind.endswith("x2") and not pair:
        raise NotCoveredError(instruction, "packed operands make two predicates")
    if not pair and combine is None:
        ufunc = compare if isinstance(compare, np.ufunc) else None
        return Value(sources, ("?",), compare, ufunc)

    def results(a: Array, b: Array) -> tuple[Array, Array]:
        if kind.endswith("x2"):
            both = compare(split(a, DTYPES[scalar]), split(b, DTYPES[scalar]))
            return both[..., 0], both[..., 1]
        true = compare(a, b)
        return true, ~true

    def apply(a: Array, b: Array, *predicate: Array) -> Array | tuple[Array, Array]:
        first, second = results(a, b)
        if combine is not None:
            first, second = combine(first, *predicate), combine(second, *predicate)
        return (first, second) if pair else first

    return Value(sources + ("?",) * (combine is not None), ("?",) * (1 + pair), apply)


@covers("set", *(f"{ops} [and|or|xor] {ftz} u32|s32|f32 {kinds}" for ops, ftz, kinds in _COMPARISONS))
@covers("set", f"{_FLOAT} [and|or|xor] [ftz] f16|bf16|u16|s16|u32|s32 f16|bf16")
@covers("set", f"{_FLOAT} [and|or|xor] [ftz] f16x2|u32|s32 f16x2")
@covers("set", f"{_FLOAT} [and|or|xor] bf16x2|u32|s32 bf16x2")
def set_number(instruction: Instruction) -> Value:
    """Make a comparison a number: all ones, or 1.0 of a float type, if it holds, else 0; of halves each."""
    operator, (result, kind) = instruction.modifiers[0], instruction.modifiers[-2:]
    scalar = kind.removesuffix("x2")
    compare = comparison(operator, scalar, "ftz" in instruction.modifiers)
    combine = next((BOOLEAN[name] for name in instruction.modifiers if name in BOOLEAN), None)
    each = result.removesuffix("x2")
    true = _true(f"{each[0]}16" if kind.endswith("x2") and each[0] in "us" else each)

    def apply(a: Array, b: Array, *predicate: Array) -> Array:
        if kind.endswith("x2"):
            a, b = split(a, DTYPES[scalar]), split(b, DTYPES[scalar])
            predicate = tuple(p[..., None] for p in predicate)
        holds = compare(a, b) if combine is None else combine(compare(a, b), *predicate)
        numbers = np.where(holds, true, true.dtype.type(0))
        return numbers.view(DTYPES[result])[..., 0] if kind.endswith("x2") else numbers

    return Value((DTYPES[kind],) * 2 + ("?",) * (combine is not None), (DTYPES[result],), apply)


def _true(kind: str) -> Array:
    dtype = DTYPES[kind]
    if kind == "bf16":
        return np.array(0x3F80, "u2")
    return (
        np.array(1, dtype)
        if kind[0] == "f"
        else np.array(np.iinfo(dtype).max if dtype[0] == "u" else -1, dtype)
    )


@covers("selp", "b16|b32|b64|u16|u32|u64|s16|s32|s64|f32|f64")
def select(instruction: Instruction) -> Value:
    """Make a where p is true, else b."""
    dtype = DTYPES[instruction.modifiers[0]]
    return Value((dtype, dtype, "?"), (dtype,), lambda a, b, p: np.where(p, a, b))


@covers("slct", "b16|b32|b64|u16|u32|u64|s16|s32|s64|f32|f64 s32")
@covers("slct", "[ftz] b16|b32|b64|u16|u32|u64|s16|s32|s64|f32|f64 f32")
def select_by_sign(instruction: Instruction) -> Value:
    """Make a where c >= 0, else b; a NaN chooses b, and what is flushed is a zero, which chooses a."""
    kind, sign = instruction.modifiers[-2:]
    dtype = DTYPES[kind]
    limit = -np.finfo("f4").tiny if "ftz" in instruction.modifiers else 0
    if limit:
        return Value((dtype, dtype, "f4"), (dtype,), lambda a, b, c: np.where(c > limit, a, b))
    return Value((dtype, dtype, DTYPES[sign]), (dtype,), lambda a, b, c: np.where(c >= 0, a, b))


TESTS: dict[str, Callable[[Array, float], Array]] = {
    "finite": lambda a, tiny: np.isfinite(a),
    "infinite": lambda a, tiny: np.isinf(a),
    "number": lambda a, tiny: ~np.isnan(a),
    "notanumber": lambda a, tiny: np.isnan(a),
    "normal": lambda a, tiny: np.isfinite(a) & ((np.abs(a) >= tiny) | (a == 0)),
    "subnormal": lambda a, tiny: (np.abs(a) < tiny) & (a != 0),
}


@covers("testp", f"{'|'.join(TESTS)} f32|f64")
def test(instruction: Instruction) -> Value:
    """Make whether a number is of a class. A zero counts as normal."""
    operation, kind = instruction.modifiers
    dtype = DTYPES[kind]
    tiny = float(np.finfo(dtype).tiny)
    return Value((dtype,), ("?",), lambda a: TESTS[operation](a, tiny))
