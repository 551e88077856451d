"""Declarations: registers, variables with what is in them at the start, and parameters.

    .reg .b32 %r<5>;   .shared .align 16 .b8 tile[32][33];   .global .u64 table[2] = {generic(a), 7};

(PTX ISA 9.x, section 5.)
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.ptx.lexer import LONGEST_SHORT_NAME, Cursor, is_name
from tinytorch.gpu.ptx.literals import constant, count, integer
from tinytorch.gpu.ptx.program import SIZES, Immediate, Parameter, Register, Symbol, Variable
from tinytorch.gpu.ptx.scopes import Scope

#: Variables are refused above: in bytes, in dimensions, and in bytes that the text gives. No GPU has so much.
MOST_BYTES = 2**40
MOST_DIMENSIONS = 8
MOST_INITIAL = 2**28
#: Bytes of the parameters of a kernel. (CUDA C++ Programming Guide, since CUDA 12.1.)
MOST_PARAMETERS = 32_764


@dataclass(frozen=True)
class _Type:
    name: str
    align: int
    lanes: int = 1

    @property
    def size(self) -> int:
        return SIZES[self.name] * self.lanes


def registers(cursor: Cursor, scope: Scope) -> None:
    """Take what follows .reg, and declare it."""
    type = _type(cursor)
    if type.lanes > 1:
        raise cursor.error("vector registers are not covered: declare one register for each element")
    while True:
        name = cursor.name("the name of a register", LONGEST_SHORT_NAME)
        if cursor.accept("<"):
            number = count(cursor, "the number of registers")
            cursor.expect(">")
            if not scope.add_range(name, number, type.name):
                raise cursor.error(f"register {name}<{number}> is declared twice", cursor.last_line)
        else:
            _only_once(cursor, scope, name)
            scope.add_register(name, type.name)
        if not cursor.accept(","):
            break
    cursor.expect(";")


def variables(cursor: Cursor, scope: Scope, space: str, extern: bool = False) -> None:
    """Take what follows .shared, .global, .const, .local, or .param in a body, and declare it."""
    type = _type(cursor)
    while True:
        name, dimensions = _name_and_dimensions(cursor)
        _only_once(cursor, scope, name)
        open_ended = None in dimensions
        initial: bytes | None = None
        pointers: tuple[tuple[int, Symbol], ...] = ()
        if cursor.accept("="):
            if space not in ("global", "const"):
                raise cursor.error(f"a variable in .{space} cannot be initialized")
            contents = _Contents(cursor, scope, type)
            contents.read(dimensions)
            initial, pointers = bytes(contents.data), tuple(contents.pointers)
        elif open_ended and not extern:
            raise cursor.error(f"{name[:100]!r} needs a size")
        size = len(initial or b"") if open_ended else _bytes(cursor, type.size, dimensions)
        scope.add_variable(name, Variable(name, space, size, type.align, initial, pointers, extern))
        if not cursor.accept(","):
            break
    cursor.expect(";")


def kernel_parameters(cursor: Cursor) -> tuple[Parameter, ...]:
    """Take (.param …, .param …) of an entry, or nothing."""
    found: dict[str, Parameter] = {}
    offset = 0
    for type, name, dimensions in _parameters(cursor, (".param",)):
        if name in found:
            raise cursor.error(f"{name[:100]!r} is declared twice", cursor.last_line)
        offset = -(-offset // type.align) * type.align
        size = _bytes(cursor, type.size, dimensions)
        found[name] = Parameter(name, type.name, size, type.align, offset, array=bool(dimensions))
        offset += size
        if offset > MOST_PARAMETERS:
            raise cursor.error(f"parameters of more than {MOST_PARAMETERS} bytes", cursor.last_line)
    return tuple(found.values())


def function_parameters(cursor: Cursor, scope: Scope) -> tuple[Register | Symbol, ...]:
    """Take the parameters or the results of a .func, or nothing, and declare them."""
    found: list[Register | Symbol] = []
    for type, name, dimensions in _parameters(cursor, (".param", ".reg")):
        own = f"_@{len(found)}" if name == "_" else name
        _only_once(cursor, scope, own)
        if dimensions is None:
            found.append(scope.add_register(own, type.name))
        else:
            sized = [extent or 0 for extent in dimensions]  # [] at the end takes whatever a call gives
            size = _bytes(cursor, type.size, sized)
            found.append(Symbol(scope.add_variable(own, Variable(own, "local", size, type.align)).name))
    return tuple(found)


def _parameters(
    cursor: Cursor, kinds: tuple[str, ...]
) -> Iterator[tuple[_Type, str, list[int | None] | None]]:
    """Yield the type, name and dimensions of each; a register has None for dimensions."""
    if not cursor.accept("(") or cursor.accept(")"):
        return
    while True:
        kind = cursor.word
        if kind not in kinds:
            raise cursor.error(f"expected {' or '.join(kinds)}, found {cursor.found}")
        cursor.at += 1
        type = _type(cursor)
        name, dimensions = _name_and_dimensions(cursor)
        yield type, name, None if kind == ".reg" else dimensions
        if not cursor.accept(","):
            break
    cursor.expect(")")


def _name_and_dimensions(cursor: Cursor) -> tuple[str, list[int | None]]:
    name = cursor.name("a name")
    dimensions: list[int | None] = []
    while cursor.accept("["):
        if len(dimensions) == MOST_DIMENSIONS:
            raise cursor.error(f"{name[:100]!r} has more than {MOST_DIMENSIONS} dimensions")
        if not dimensions and cursor.accept("]"):
            dimensions.append(None)
            continue
        extent = integer(cursor)
        if extent < 0:
            raise cursor.error(f"{name[:100]!r} has a size of {extent}")
        dimensions.append(extent)
        cursor.expect("]")
    return name, dimensions


def _only_once(cursor: Cursor, scope: Scope, name: str) -> None:
    if scope.declared(name):
        raise cursor.error(f"{name[:100]!r} is declared twice", cursor.last_line)


def _type(cursor: Cursor) -> _Type:
    """Take .align 16 .v4 .f32 and the like, in any order."""
    align, lanes, name = 0, 1, ""
    while cursor.word.startswith("."):
        word = cursor.take()
        if word == ".align":
            align = _align(cursor)
        elif word in (".v2", ".v4"):
            lanes = int(word[2:])
        elif word == ".attribute":
            cursor.expect("(")
            while not cursor.accept(")"):
                cursor.take()
        elif word == ".ptr":
            _pointee(cursor)
        elif word[1:] in SIZES and not name:
            name = word[1:]
        else:
            cursor.at -= 1
            raise cursor.error(f"{word[:100]!r} is no type that is known here")
    if not name:
        raise cursor.error(f"expected a type, found {cursor.found}")
    return _Type(name, align or SIZES[name] * lanes, lanes)


def _align(cursor: Cursor) -> int:
    align = count(cursor, "an alignment", 2**16)
    if align == 0 or align & (align - 1):
        raise cursor.error(f"an alignment of {align}: a power of two is needed")
    return align


def _pointee(cursor: Cursor) -> None:
    """Take what follows .ptr: the space and alignment of what the parameter points to, not its own."""
    while cursor.word in (".global", ".shared", ".const", ".local", ".param", ".align"):
        if cursor.take() == ".align":
            _align(cursor)


def _bytes(cursor: Cursor, element: int, dimensions: Sequence[int | None] | None) -> int:
    """Return the bytes of an array; a dimension without a size has none."""
    size = element * math.prod(extent or 0 for extent in dimensions or ())
    if size > MOST_BYTES:
        raise cursor.error(f"{size} bytes: {MOST_BYTES} are the most that a variable may have")
    return size


class _Contents:
    """What = {…} puts into a variable: its first bytes, and where in them which address stands."""

    def __init__(self, cursor: Cursor, scope: Scope, type: _Type) -> None:
        self.cursor, self.scope, self.type = cursor, scope, type
        self.data = bytearray()
        self.pointers: list[tuple[int, Symbol]] = []

    def read(self, dimensions: list[int | None]) -> None:
        """Take all of it."""
        if self.type.lanes > 1:
            dimensions = [*dimensions, self.type.lanes]
        if dimensions:
            self._braces(dimensions, 0)
        else:
            self._value(0)

    def _braces(self, dimensions: Sequence[int | None], at: int) -> None:
        """Take {…}: rows in braces of their own, or all elements one after the other."""
        cursor = self.cursor
        cursor.expect("{")
        if cursor.accept("}"):
            return
        nested = cursor.word == "{" and len(dimensions) > 1
        row = _bytes(cursor, SIZES[self.type.name], dimensions[1:])
        step = row if nested else SIZES[self.type.name]
        most = None if dimensions[0] is None else dimensions[0] * row // max(step, 1)
        index = 0
        while True:
            if index == most:
                raise cursor.error(f"more than the {most} values that there is room for")
            if nested:
                self._braces(dimensions[1:], at + index * step)
            else:
                self._value(at + index * step)
            index += 1
            if not cursor.accept(","):
                break
        cursor.expect("}")

    def _value(self, at: int) -> None:
        cursor, size = self.cursor, SIZES[self.type.name]
        if is_name(cursor.word) and cursor.word != "WARP_SZ":
            if size != 8:
                raise cursor.error(f"an address does not fit a .{self.type.name}")
            self.pointers.append((at, self._symbol()))
            self._put(at, bytes(size))
            return
        value = constant(cursor)
        if cursor.accept("("):
            self._byte_of_address(at, value.value)
            self._put(at, bytes(size))
        else:
            self._put(at, self._encoded(value))

    def _symbol(self) -> Symbol:
        """Take name, generic(name), and what is added to it."""
        cursor = self.cursor
        generic = cursor.word == "generic" and cursor.after == "("
        if generic:
            cursor.at += 2
        found = self.scope.find(cursor.word)
        if not isinstance(found, Symbol):
            raise cursor.error(f"{cursor.word[:100]!r} is not declared")
        cursor.at += 1
        if generic:
            cursor.expect(")")
        offset = integer(cursor) if cursor.accept("+") or cursor.word == "-" else 0
        return Symbol(found.name, offset)

    def _byte_of_address(self, at: int, mask: int) -> None:
        """Take name) of 0xFF00(name), a byte of an address; all eight follow one another, lowest first."""
        cursor = self.cursor
        symbol = self._symbol()
        cursor.expect(")")
        byte = (mask.bit_length() - 1) // 8
        whole = SIZES[self.type.name] == 1 and byte >= 0 and mask == 0xFF << 8 * byte
        if whole and byte == 0:
            self.pointers.append((at, symbol))
        elif not whole or not self.pointers or self.pointers[-1] != (at - byte, symbol):
            raise cursor.error("the bytes of an address must follow one another, the lowest first")

    def _put(self, at: int, data: bytes) -> None:
        if at + len(data) > MOST_INITIAL:
            raise self.cursor.error(f"{MOST_INITIAL} bytes are the most that a variable may be given")
        if at > len(self.data):
            self.data.extend(bytes(at - len(self.data)))
        self.data[at : at + len(data)] = data

    def _encoded(self, value: Immediate) -> bytes:
        type, size = self.type.name, SIZES[self.type.name]
        bits = {"int": size, "f32": 4, "f64": 8}[value.kind]
        if type[0] in "bus" and type[1:].isdigit() and bits == size:
            return (value.value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        if type in ("f32", "f64"):
            with np.errstate(over="ignore"):
                return np.float64(_number(value)).astype(f"<f{size}").tobytes()
        raise self.cursor.error(f"a number of kind {value.kind} cannot initialize a .{type}")


def _number(value: Immediate) -> float:
    if value.kind == "int":
        return float(value.value)
    size = 4 if value.kind == "f32" else 8
    return float(np.frombuffer(value.value.to_bytes(size, "little"), f"<f{size}")[0])
