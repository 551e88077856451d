"""The operands of an instruction, from words to `Operand`s.

A name is looked up where it stands, so that an operand that comes out of here is a register, a variable or a
number that exists. Labels are looked up later: they may come after the branch.
"""

import re

from tinytorch.gpu.ptx.lexer import Cursor, is_name
from tinytorch.gpu.ptx.literals import constant, integer
from tinytorch.gpu.ptx.program import (
    Address,
    Immediate,
    Not,
    Operand,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    TensorAddress,
    Vector,
)
from tinytorch.gpu.ptx.scopes import Scope

#: The registers that the machine sets. (PTX ISA 9.x, section 10.)
_SPECIAL = re.compile(
    r"%(?:(?:tid|ntid|ctaid|nctaid|clusterid|nclusterid|cluster_ctaid|cluster_nctaid)(?:\.[xyzw])?"
    r"|laneid|warpid|nwarpid|smid|nsmid|gridid|is_explicit_cluster|cluster_ctarank|cluster_nctarank"
    r"|lanemask_(?:eq|le|lt|ge|gt)|clock|clock_hi|clock64|pm[0-7](?:_64)?|envreg(?:[0-9]|[12][0-9]|3[01])"
    r"|globaltimer(?:_lo|_hi)?|reserved_smem_offset_(?:begin|end|cap|[01])"
    r"|(?:total|aggr|dynamic)_smem_size|current_graph_exec)"
)


def operands(cursor: Cursor, scope: Scope) -> tuple[Operand, ...]:
    """Take the operands of an instruction, with the ; after them."""
    if cursor.accept(";"):
        return ()
    found = [operand(cursor, scope)]
    while not cursor.accept(";"):
        if not cursor.accept(","):
            raise cursor.error(f"expected ',' or ';', found {cursor.found}")
        found.append(operand(cursor, scope))
    return tuple(found)


def operand(cursor: Cursor, scope: Scope) -> Operand:
    """Take one operand."""
    word = cursor.word
    if word == "[":
        return _address(cursor, scope)
    if word == "{":
        return _vector(cursor, scope)
    if word == "!":
        cursor.at += 1
        return Not(predicate(cursor, scope))
    first = _plain(cursor, scope)
    if cursor.word == "|":
        cursor.at += 1
        return Pair(first, _plain(cursor, scope))
    return first


def predicate(cursor: Cursor, scope: Scope) -> Register:
    """Take a register of type .pred."""
    name = cursor.word
    found = scope.find(name)
    if not isinstance(found, Register) or found.type != "pred":
        known = "is no predicate" if found is not None else "is not declared"
        raise cursor.error(f"{name[:100]!r} {known}; a .pred register is expected")
    cursor.at += 1
    return found


def call_operands(cursor: Cursor, scope: Scope) -> tuple[Operand, ...]:
    """Take the operands of a call: always results, function, arguments, then a prototype if there is one."""
    returned = _list(cursor, scope)
    if returned.parts:
        cursor.expect(",")
    function = _plain(cursor, scope)
    if not isinstance(function, Symbol | Register):
        raise cursor.error("what is called is no function")
    arguments: Operand = Vector(())
    rest: list[Operand] = []
    while cursor.accept(","):
        if cursor.word == "(":
            arguments = _list(cursor, scope)
        else:
            rest.append(_plain(cursor, scope))
    cursor.expect(";")
    return (returned, function, arguments, *rest)


def _list(cursor: Cursor, scope: Scope) -> Vector:
    """Take (a, b, c), or nothing."""
    if not cursor.accept("(") or cursor.accept(")"):
        return Vector(())
    parts = [_plain(cursor, scope)]
    while cursor.accept(","):
        parts.append(_plain(cursor, scope))
    cursor.expect(")")
    return Vector(tuple(parts))


def _plain(cursor: Cursor, scope: Scope) -> Operand:
    """Take a name, with what is added to it, or a number."""
    word = cursor.word
    if not is_name(word) or word == "WARP_SZ":
        return constant(cursor)
    found = named(cursor, scope)
    if isinstance(found, Symbol) and cursor.word in ("+", "-"):
        return Symbol(found.name, _offset(cursor))
    return found


def named(cursor: Cursor, scope: Scope) -> Register | Special | Symbol | Sink:
    """Take a name and return what it means; PtxError if nothing."""
    name = cursor.word
    found = scope.find(name)
    if found is None:
        if name == "_":
            cursor.at += 1
            return Sink()
        if not _SPECIAL.fullmatch(name):
            raise cursor.error(f"{name[:100]!r} is not declared")
        cursor.at += 1
        return Special(name)
    cursor.at += 1
    return found


def _offset(cursor: Cursor) -> int:
    """Take + constant or - constant, or nothing, which is 0."""
    if cursor.accept("+") or cursor.word == "-":
        return integer(cursor)
    return 0


def _address(cursor: Cursor, scope: Scope) -> Address | TensorAddress:
    cursor.expect("[")
    base: Register | Symbol | None = None
    if is_name(cursor.word) and cursor.word != "WARP_SZ":
        found = named(cursor, scope)
        if not isinstance(found, Register | Symbol):
            raise cursor.error("an address starts with a register, a variable or a number")
        base, offset = found, _offset(cursor)
    else:
        offset = integer(cursor)
    if cursor.word == "," and base is not None and offset == 0:
        return _tensor_address(cursor, scope, base)
    cursor.expect("]")
    return Address(base, offset)


def _tensor_address(cursor: Cursor, scope: Scope, base: Register | Symbol) -> TensorAddress:
    parts: list[tuple[Operand, ...]] = []
    while cursor.accept(","):
        parts.append(_vector(cursor, scope).parts)
    cursor.expect("]")
    if len(parts) > 2:
        raise cursor.error("a tensor address has coordinates and at most one list of offsets")
    return TensorAddress(base, *parts)


def _vector(cursor: Cursor, scope: Scope) -> Vector:
    cursor.expect("{")
    parts = [_element(cursor, scope)]
    while cursor.accept(","):
        parts.append(_element(cursor, scope))
    cursor.expect("}")
    return Vector(tuple(parts))


def _element(cursor: Cursor, scope: Scope) -> Operand:
    found = _plain(cursor, scope)
    if not isinstance(found, Register | Immediate | Special | Symbol | Sink):
        raise cursor.error("a vector has registers and numbers")
    return found
