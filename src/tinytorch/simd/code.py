"""Vector values that read like arithmetic, and the function that they are part of.

A kernel is a Python function that is handed a `Code` and builds one machine-code function with it: what is
an operation in Python (`a * b + c`, `fma(a, b, c)`, a `with code.loop(n)`) becomes an instruction that runs
later. Python's own loops and ifs run now: they unroll, and choose between variants.

    def double(code, count, source, target):
        V = code.vectors(FLOAT32)
        source, target = code.address(source), code.address(target)
        with code.loop(count // V.lanes) as i:
            x = V.load(source + i * V.bytes)
            V.store(x + x, target + i * V.bytes)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from llvmlite import ir

from tinytorch.runtime.arrays import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    HALVES,
    INT8,
    INT16,
    INT32,
    INT64,
    UINT8,
    DType,
)
from tinytorch.simd.target import Target

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_POINTER = _I8.as_pointer()


class _BFloat(ir.Type):
    """LLVM's name for bfloat16, which only its intrinsics for pairs of them ask for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


#: Half types are moved as the bits they are, and widened to compute: `Vectors.load_from`.
_SCALARS = {
    **{FLOAT32: ir.FloatType(), FLOAT64: ir.DoubleType(), FLOAT16: _I16, BFLOAT16: _I16},
    **{INT8: _I8, UINT8: _I8, INT16: _I16, INT32: _I32, INT64: _I64},
}
_NAMES = {
    **{FLOAT32: "f32", FLOAT64: "f64", FLOAT16: "i16", BFLOAT16: "i16"},
    **{INT8: "i8", UINT8: "i8", INT16: "i16", INT32: "i32", INT64: "i64"},
}
#: Bits of the fraction, and the pattern of 1.0.
_FRACTION = {FLOAT32: (23, 0x3F800000), FLOAT64: (52, 0x3FF0000000000000)}

Operand: TypeAlias = "Value | int | float"


class Value:
    """An integer, an address, a truth value, or a vector of numbers, known when the code runs."""

    __slots__ = ("code", "ir")

    def __init__(self, code: "Code", value: Any) -> None:
        self.code = code
        self.ir = value

    @property
    def _float(self) -> bool:
        kind = self.ir.type
        return isinstance(getattr(kind, "element", kind), ir.FloatType | ir.DoubleType)

    def _same(self, other: Operand) -> Any:
        return other.ir if isinstance(other, Value) else self.code.constant(other, self.ir.type)

    def _do(self, integer: str, floating: str, other: Operand) -> "Value":
        name = floating if self._float else integer
        if not name:
            raise TypeError(f"no such operation on {self.ir.type}")
        return Value(self.code, getattr(self.code.builder, name)(self.ir, self._same(other)))

    def __add__(self, other: Operand) -> "Value":
        """Add numbers, or move an address by a number of bytes."""
        if self.ir.type == _POINTER:
            if other == 0 and isinstance(other, int):
                return self
            offset = other.ir if isinstance(other, Value) else ir.Constant(_I64, other)
            return Value(self.code, self.code.builder.gep(self.ir, [offset], source_etype=_I8))
        return self._do("add", "fadd", other)

    def __sub__(self, other: Operand) -> "Value":
        """Subtract."""
        return self._do("sub", "fsub", other)

    def __mul__(self, other: Operand) -> "Value":
        """Multiply."""
        return self._do("mul", "fmul", other)

    def __truediv__(self, other: Operand) -> "Value":
        """Divide floats."""
        return self._do("", "fdiv", other)

    def __floordiv__(self, other: Operand) -> "Value":
        """Divide integers that are not negative."""
        return self._do("udiv", "", other)

    def __mod__(self, other: Operand) -> "Value":
        """Return the rest of a division of integers that are not negative."""
        return self._do("urem", "", other)

    def __and__(self, other: Operand) -> "Value":
        """Combine bits."""
        return self._do("and_", "", other)

    def __or__(self, other: Operand) -> "Value":
        """Combine bits."""
        return self._do("or_", "", other)

    def __rshift__(self, other: Operand) -> "Value":
        """Shift bits down; the sign stays."""
        return self._do("ashr", "", other)

    def __xor__(self, other: Operand) -> "Value":
        """Combine bits."""
        return self._do("xor", "", other)

    def __lshift__(self, other: Operand) -> "Value":
        """Shift bits up."""
        return self._do("shl", "", other)

    def _compare(self, sign: str, other: Operand) -> "Value":
        builder = self.code.builder
        compare = builder.fcmp_ordered if self._float else builder.icmp_signed
        return Value(self.code, compare(sign, self.ir, self._same(other)))

    def __lt__(self, other: Operand) -> "Value":
        """Compare; false where a float is NaN."""
        return self._compare("<", other)

    def __gt__(self, other: Operand) -> "Value":
        """Compare; false where a float is NaN."""
        return self._compare(">", other)

    def __ge__(self, other: Operand) -> "Value":
        """Compare; false where a float is NaN."""
        return self._compare(">=", other)

    def differs(self, other: Operand) -> "Value":
        """Compare integers."""
        return self._compare("!=", other)

    def equals(self, other: Operand) -> "Value":
        """Compare; false where a float is NaN."""
        return self._compare("==", other)


class Variable:
    """A value that changes as the code runs: what `set` put there last, `get` gives."""

    def __init__(self, value: Value) -> None:
        self.code = value.code
        with self.code.builder.goto_entry_block():  # one slot in all, even inside a loop
            self._slot = self.code.builder.alloca(value.ir.type)
        self.set(value)

    def get(self) -> Value:
        """Return the value that it has now."""
        return Value(self.code, self.code.builder.load(self._slot))

    def set(self, value: Value) -> None:
        """Give it another value."""
        self.code.builder.store(value.ir, self._slot)


class Vectors:
    """The vectors of one dtype: how they are loaded, made and stored."""

    def __init__(self, code: "Code", dtype: DType, lanes: int) -> None:
        self.code = code
        self.dtype = dtype
        self.lanes = lanes
        self.bytes = lanes * dtype.itemsize
        self.floating = dtype in (FLOAT32, FLOAT64)
        self.scalar = _SCALARS[dtype]
        self.type = ir.VectorType(self.scalar, lanes)
        self._name = f"v{lanes}{_NAMES[dtype]}"

    def zero(self) -> Value:
        """Return a vector of zeros."""
        return Value(self.code, ir.Constant(self.type, None))

    def constant(self, number: float) -> Value:
        """Return a vector whose lanes all hold `number`."""
        return Value(self.code, self.code.constant(number, self.type))

    def load(self, address: Value, mask: Value | None = None) -> Value:
        """Load a vector; with a mask only its lanes are read, and the others are zero."""
        code, align = self.code, self.dtype.itemsize
        if mask is None:
            return Value(code, code.builder.load(code.pointer(address, self.type), align=align))
        arguments = (address.ir, ir.Constant(_I32, align), mask.ir, ir.Constant(self.type, None))
        return code.call(f"llvm.masked.load.{self._name}.p0", self.type, *arguments)

    def load_from(self, source: "Vectors", address: Value, mask: Value | None = None) -> Value:
        """Load a vector that lies in memory as `source` says, a half type, int8 or this one, and widen it."""
        value = source.load(address, mask)
        if source.dtype == self.dtype:
            return value
        builder = self.code.builder
        if source.dtype == INT8:
            return Value(self.code, builder.sitofp(value.ir, self.type))
        if source.dtype == FLOAT16 and self.code.target.float16:
            halves = builder.bitcast(value.ir, ir.VectorType(ir.HalfType(), self.lanes))
            return Value(self.code, builder.fpext(halves, self.type))
        bits = Value(self.code, builder.zext(value.ir, ir.VectorType(_I32, self.lanes)))
        if source.dtype == FLOAT16:
            return self._from_half_bits(bits)
        # A bfloat16 is the upper half of the float32 of the same value.
        return Value(self.code, builder.bitcast((bits << 16).ir, self.type))

    def _from_half_bits(self, half: Value) -> Value:
        """Return float32 of the bits of float16: moved to where float32 has them, and the exponent set right.

        Exponents differ by 127 - 15, so the moved number is 2^112 too small, subnormal ones too; infinities
        and NaN have all bits of the exponent set in both.
        """
        code, builder = self.code, self.code.builder
        moved = (half & 0x7FFF) << 13
        number = Value(code, builder.bitcast(moved.ir, self.type)) * self.constant(2.0**112)
        bits = Value(code, builder.bitcast(number.ir, moved.ir.type))
        bits = code.select(moved >= 0x7C00 << 13, moved | 0x7F800000, bits)
        return Value(code, builder.bitcast((bits | ((half & 0x8000) << 16)).ir, self.type))

    def store(
        self, value: Value, address: Value, mask: Value | None = None, stream: bool = False, align: int = 0
    ) -> None:
        """Store a vector, or the lanes of a mask; `stream` passes by the caches (`align`: whole vectors)."""
        code = self.code
        align = align or self.dtype.itemsize
        if mask is None:
            done = code.builder.store(value.ir, code.pointer(address, self.type), align=align)
            if stream:
                done.set_metadata("nontemporal", code.module.add_metadata([ir.Constant(_I32, 1)]))
            return
        arguments = (value.ir, address.ir, ir.Constant(_I32, align), mask.ir)
        code.call(f"llvm.masked.store.{self._name}.p0", ir.VoidType(), *arguments)

    def broadcast(self, address: Value, align: int = 0) -> Value:
        """Load one number into all lanes."""
        builder = self.code.builder
        number = builder.load(self.code.pointer(address, self.scalar), align=align or self.dtype.itemsize)
        return self.splat(Value(self.code, number))

    def broadcast_half(self, address: Value) -> Value:
        """Load one 16-bit number into the lower halves of all lanes, zeros into the upper ones."""
        builder = self.code.builder
        bits = builder.zext(builder.load(self.code.pointer(address, _I16), align=2), _I32)
        return self.splat(Value(self.code, builder.bitcast(bits, self.scalar)))

    def splat(self, number: Value) -> Value:
        """Return a vector whose lanes all hold a number known when the code runs."""
        return Value(self.code, _splat(self.code.builder, number.ir, self.lanes))

    def first(self, count: Value) -> Value:
        """Return the mask of the first `count` lanes; none below 1, all from `lanes` up."""
        code = self.code
        width = _I32 if self.dtype.itemsize == 4 else _I64
        number = code.minimum(count, code.integer(self.lanes)).ir
        number = number if width is _I64 else code.builder.trunc(number, width)
        lanes = ir.Constant(ir.VectorType(width, self.lanes), list(range(self.lanes)))
        return Value(code, code.builder.icmp_signed("<", lanes, _splat(code.builder, number, self.lanes)))

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a * b + c, rounded once where the target can."""
        if not (self.floating and self.code.target.fused):
            return a * b + c
        return self.code.call(f"llvm.fma.{self._name}", self.type, a.ir, b.ir, c.ir)

    def dot(self, a: Value, b: Value, c: Value) -> Value:
        """Return a[0] b[0] + a[1] b[1] + c for float32 lanes, those of `a` and `b` pairs of bfloat16.

        The instruction takes subnormal numbers for zeros; the way around it does not.
        """
        code, builder = self.code, self.code.builder
        if code.target.has("avx512bf16"):
            pairs = [builder.bitcast(x.ir, ir.VectorType(_BFloat(), 2 * self.lanes)) for x in (a, b)]
            return code.call(f"llvm.x86.avx512bf16.dpbf16ps.{8 * self.bytes}", self.type, c.ir, *pairs)
        bits = [Value(code, builder.bitcast(x.ir, ir.VectorType(_I32, self.lanes))) for x in (a, b)]
        for halves in ([x & ~0xFFFF for x in bits], [x << 16 for x in bits]):
            x, y = (Value(code, builder.bitcast(half.ir, self.type)) for half in halves)
            c = self.fma(x, y, c)
        return c

    def pair(self, first: Value, second: Value) -> Value:
        """Put two vectors of 16-bit numbers side by side, in the lower and the upper halves of lanes."""
        builder, kind = self.code.builder, ir.VectorType(_I32, self.lanes)
        low, high = (Value(self.code, builder.zext(half.ir, kind)) for half in (first, second))
        return Value(self.code, builder.bitcast((low | (high << 16)).ir, self.type))

    def widen(self, value: Value) -> list[Value]:
        """Return numbers as float64, in as many vectors as they then take."""
        if self.dtype == FLOAT64:
            return [value]
        half = self.lanes // 2
        kind = ir.VectorType(_SCALARS[FLOAT64], half)
        parts = [self.shuffle(value, value, list(range(k, k + half))) for k in (0, half)]
        widen = self.code.builder.fpext if self.floating else self.code.builder.sitofp
        return [Value(self.code, widen(part.ir, kind)) for part in parts]

    def narrow(self, parts: list[Value]) -> Value:
        """Return a vector of float32 of two vectors of float64, rounded; of one of this dtype itself."""
        if self.dtype == FLOAT64:
            return parts[0]
        kind = ir.VectorType(self.scalar, self.lanes // 2)
        low, high = (Value(self.code, self.code.builder.fptrunc(part.ir, kind)) for part in parts)
        return self.shuffle(low, high, list(range(self.lanes)))

    def to_integers(self, value: Value, kind: "Vectors") -> Value:
        """Return whole numbers that an integer type holds as vectors of it, of as many lanes."""
        builder = self.code.builder
        whole = builder.fptosi(value.ir, ir.VectorType(_I32, self.lanes))
        return Value(self.code, builder.trunc(whole, kind.type))

    def to_floats(self, value: Value, kind: "Vectors") -> Value:
        """Return integers as floats of a type, of as many lanes."""
        return Value(self.code, self.code.builder.sitofp(value.ir, kind.type))

    def shift_down(self, value: Value, bits: int) -> Value:
        """Return lanes shifted down, zeros coming in."""
        return Value(self.code, self.code.builder.lshr(value.ir, self.code.constant(bits, self.type)))

    def extend(self, value: Value, kind: "Vectors") -> Value:
        """Return integers with their sign in a wider type, of as many lanes."""
        return Value(self.code, self.code.builder.sext(value.ir, kind.type))

    def load_groups(self, address: Value) -> Value:
        """Load the integers of a packed B that `dot_groups` takes: for each int32 lane a group of int8."""
        group = self.code.target.group
        packed = self.code.vectors(INT8, group * self.lanes)
        value = packed.load(address)
        return value if group == 4 else packed.extend(value, self.code.vectors(INT16, group * self.lanes))

    def dot_groups(self, a: Value, b: Value, c: Value) -> Value:
        """Return c + the sum of a[g] * b[g] over a group, for each int32 lane: exact, modulo 2^32.

        `a` are lanes of groups: four bytes where the target has an instruction for them (unsigned on x86),
        else two int16, of which no sum of two products saturates; `b` is what `load_groups` gave.
        """
        code, builder, group = self.code, self.code.builder, self.code.target.group
        instruction = self._dot_instruction()
        if instruction:
            x = builder.bitcast(a.ir, b.ir.type)
            if group == 4:
                return code.call(instruction, self.type, c.ir, x, b.ir)
            return self.opaque(c + code.call(instruction, self.type, x, b.ir))
        width = 32 // group
        for g in range(group):
            x, y = (value << (32 - width * (g + 1)) for value in (a, self.of_bits(b)))
            c = c + self._upper(x, width, not code.target.offset) * self._upper(y, width, signed=True)
        return c

    def opaque(self, value: Value) -> Value:
        """Return the same value as one that LLVM knows nothing of: an empty piece of assembly.

        Integer sums may be added up in any order, and LLVM turns those of unrolled steps into trees, whose
        parts then do not fit in the registers.
        """
        kind = ir.FunctionType(self.type, [self.type])
        return Value(
            self.code, self.code.builder.asm(kind, "", f"={self._register},0", [value.ir], side_effect=False)
        )

    def consume(self, value: Value) -> None:
        """Use a value up, so that LLVM must have it loaded: an empty piece of assembly."""
        kind = ir.FunctionType(ir.VoidType(), [self.type])
        self.code.builder.asm(kind, "", self._register, [value.ir], side_effect=True)

    @property
    def _register(self) -> str:
        """The letter of a vector register in LLVM's assembly constraints."""
        return "v" if self.code.target.registers == 32 else "x" if self.code.target.x86 else "w"

    def _upper(self, value: Value, width: int, signed: bool) -> Value:
        """Return the integers that the upper `width` bits of int32 lanes hold."""
        builder, count = self.code.builder, self.code.constant(32 - width, self.type)
        return Value(self.code, (builder.ashr if signed else builder.lshr)(value.ir, count))

    def _dot_instruction(self) -> str:
        """Return LLVM's name of the target's instruction for `dot_groups`, or an empty string."""
        target, bits = self.code.target, 8 * self.bytes
        if target.has("avx512vnni") or target.has("avxvnni"):
            return f"llvm.x86.avx512.vpdpbusd.{bits}"
        if target.has("dotprod"):
            return "llvm.aarch64.neon.sdot.v4i32.v16i8"
        if target.group == 2 and target.x86:
            if bits == 512 and target.has("avx512bw"):
                return "llvm.x86.avx512.pmaddw.d.512"
            if bits == 256 and target.has("avx2"):
                return "llvm.x86.avx2.pmadd.wd"
            if bits == 128:
                return "llvm.x86.sse2.pmadd.wd"
        return ""

    def power_of_two(self, shifted: Value) -> Value:
        """Return 2^n for a number whose low bits hold n, by putting n where the exponent is."""
        bits, one = _FRACTION[self.dtype]
        builder = self.code.builder
        integers = ir.VectorType(ir.IntType(8 * self.dtype.itemsize), self.lanes)
        number = Value(self.code, builder.bitcast(shifted.ir, integers))
        return Value(self.code, builder.bitcast(((number << bits) + one).ir, self.type))

    def transpose(self, rows: list[Value]) -> list[Value]:
        """Return the columns of a square of `lanes` vectors, in log2(lanes) rounds of interleaving."""
        half = self.lanes // 2
        lower = [lane for i in range(half) for lane in (i, self.lanes + i)]
        upper = [lane for i in range(half, self.lanes) for lane in (i, self.lanes + i)]
        step = self.lanes
        while step > 1:
            step //= 2
            # Perfect shuffles: vector i of the first half is interleaved with vector i of the second.
            rows = [
                self.shuffle(rows[i], rows[half + i], part) for i in range(half) for part in (lower, upper)
            ]
        return rows

    def shuffle(self, a: Value, b: Value, lanes: list[int]) -> Value:
        """Return lanes of `a` (from 0) and `b` (from `lanes`), picked by number."""
        picked = ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)
        return Value(self.code, self.code.builder.shuffle_vector(a.ir, b.ir, picked))

    def each(self, count: Value, step: Callable[[Value, Value | None], None]) -> None:
        """Do `step(first, mask)` for all vectors of a row of `count`; only what is left has a mask."""
        with self.code.loop(count // self.lanes) as j:
            step(j * self.lanes, None)
        rest = count % self.lanes
        with self.code.when(rest > 0):
            step(count - rest, self.first(rest))

    def total(self, parts: list["Variable"]) -> Value:
        """Return the sum of all lanes of several vectors: a number."""
        return self.reduce(parts, lambda a, b: a + b)

    def reduce(self, parts: list["Variable"], combine: Callable[[Value, Value], Value]) -> Value:
        """Combine all lanes of several vectors to one number: vectors first, then halves with halves."""
        value = parts[0].get()
        for part in parts[1:]:
            value = combine(value, part.get())
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            upper = list(range(lanes, 2 * lanes)) + list(range(self.lanes - lanes))
            value = combine(value, self.shuffle(value, value, upper))
        return Value(self.code, self.code.builder.extract_element(value.ir, ir.Constant(_I32, 0)))

    # Single numbers of the dtype

    def number(self, number: float) -> Value:
        """Return a number."""
        return Value(self.code, ir.Constant(self.scalar, number))

    def load_number(self, address: Value) -> Value:
        """Load a number."""
        pointer = self.code.pointer(address, self.scalar)
        return Value(self.code, self.code.builder.load(pointer, align=self.dtype.itemsize))

    def load_index(self, address: Value) -> Value:
        """Load an integer without a sign, as the 64-bit integers that addresses are counted in."""
        return Value(self.code, self.code.builder.zext(self.load_number(address).ir, _I64))

    def store_number(self, number: Value, address: Value) -> None:
        """Store a single number."""
        pointer = self.code.pointer(address, self.scalar)
        self.code.builder.store(number.ir, pointer, align=self.dtype.itemsize)

    def from_double(self, number: Value) -> Value:
        """Return a float64 rounded to this float type."""
        return (
            number
            if self.dtype == FLOAT64
            else Value(self.code, self.code.builder.fptrunc(number.ir, self.scalar))
        )

    def to_double(self, number: Value) -> Value:
        """Return a number of this float type as float64."""
        wide = _SCALARS[FLOAT64]
        return number if self.dtype == FLOAT64 else Value(self.code, self.code.builder.fpext(number.ir, wide))

    def from_integer(self, number: Value) -> Value:
        """Return an integer as a number of this float type."""
        return Value(self.code, self.code.builder.sitofp(number.ir, self.scalar))

    def to_integer(self, number: Value) -> Value:
        """Return a whole number of this float type as an int32."""
        return Value(self.code, self.code.builder.fptosi(number.ir, _I32))

    def next_up(self, number: Value) -> Value:
        """Return the next larger number after one of this float type that is not negative."""
        builder, kind = self.code.builder, ir.IntType(8 * self.dtype.itemsize)
        bits = builder.add(builder.bitcast(number.ir, kind), ir.Constant(kind, 1))
        return Value(self.code, builder.bitcast(bits, self.scalar))

    def interleave(self, first: Value, second: Value) -> Value:
        """Return the lanes of two vectors in turn: a vector of twice as many."""
        return self.shuffle(first, second, [lane for i in range(self.lanes) for lane in (i, self.lanes + i)])

    def store_interleaved(self, lines: list[Value], address: Value) -> None:
        """Store two or four vectors of bytes in turn: the first byte of each, then the second of each."""
        if len(lines) == 2:
            both = self.interleave(*lines)
        else:
            pairs = self.code.vectors(INT16, self.lanes)
            halves = [self.interleave(*two) for two in (lines[:2], lines[2:])]
            both = pairs.interleave(*(pairs.of_bits(half) for half in halves))
        self.code.builder.store(both.ir, self.code.pointer(address, both.ir.type), align=1)

    def of_bits(self, value: Value) -> Value:
        """Return the vector of this type that the same bits are."""
        return Value(self.code, self.code.builder.bitcast(value.ir, self.type))


class Code:
    """One machine-code function under construction; its arguments are 64-bit integers."""

    def __init__(self, target: Target, function: Any) -> None:
        self.module: ir.Module = function.module
        self.target = target
        self.function = function
        self.function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.arguments = [Value(self, argument) for argument in self.function.args]

    @classmethod
    def kernel(cls, module: ir.Module, target: Target, name: str, arguments: int) -> "Code":
        """Begin a function that compiled code calls by its address, with 64-bit integers."""
        return cls(target, ir.Function(module, ir.FunctionType(ir.VoidType(), [_I64] * arguments), name))

    def call_once(
        self, name: str, write: Callable[..., Value], V: Vectors, vector: Value, number: Value
    ) -> Value:
        """Call the function that `write(V, vector, number)` writes, a vector to a vector; written once."""
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(V.type, [V.type, _I64]), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inner = Code(self.target, function)
            result = write(Vectors(inner, V.dtype, V.lanes), *inner.arguments)
            inner.builder.ret(result.ir)
        return Value(self, self.builder.call(function, [vector.ir, number.ir]))

    def finish(self) -> None:
        """End the function."""
        self.builder.ret_void()

    def variable(self, value: Value) -> Variable:
        """Return a variable that holds `value` at first."""
        return Variable(value)

    def vectors(self, dtype: DType, lanes: int = 0) -> Vectors:
        """Return vectors of a dtype, by default the target's; half types have as many lanes as float32."""
        return Vectors(self, dtype, lanes or self.target.lanes(FLOAT32 if dtype in HALVES else dtype))

    def integer(self, number: int) -> Value:
        """Return an integer constant."""
        return Value(self, ir.Constant(_I64, number))

    def constant(self, number: float, kind: Any) -> Any:
        """Return a constant of an LLVM type, in every lane of a vector."""
        if isinstance(kind, ir.VectorType):
            return ir.Constant(kind, [self.constant(number, kind.element)] * kind.count)
        return ir.Constant(kind, number)

    def address(self, number: Value) -> Value:
        """Return the address that an integer holds."""
        return Value(self, self.builder.inttoptr(number.ir, _POINTER))

    def pointer(self, address: Value, kind: Any) -> Any:
        """Return LLVM's pointer to a value of `kind` at an address."""
        return self.builder.bitcast(address.ir, kind.as_pointer())

    def call(self, name: str, result: Any, *arguments: Any) -> Value:
        """Call an LLVM intrinsic."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        return Value(self, self.builder.call(function, arguments))

    def opaque_integer(self, value: Value) -> Value:
        """Return the same integer as one that LLVM knows nothing of: see `Vectors.opaque`."""
        kind = ir.FunctionType(_I64, [_I64])
        return Value(self, self.builder.asm(kind, "", "=r,0", [value.ir], side_effect=False))

    def minimum(self, a: Value, b: Value) -> Value:
        """Return the smaller of two integers."""
        return self.select(a < b, a, b)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        """Return `yes` where the condition holds, `no` elsewhere; lane by lane for vectors."""
        return Value(self, self.builder.select(condition.ir, yes.ir, no.ir))

    def prefetch(self, address: Value, write: bool = False, level: int = 3) -> None:
        """Ask for a cache line ahead of its use; `level` 3 is L1, 2 L2, 1 L3. Any address is harmless."""
        what = (ir.Constant(_I32, number) for number in (int(write), level, 1))
        self.call("llvm.prefetch.p0", ir.VoidType(), address.ir, *what)

    def fence_streams(self) -> None:
        """Make stores that passed by the caches visible before any later store."""
        if self.target.x86:
            self.call("llvm.x86.sse.sfence", ir.VoidType())
        else:
            self.builder.fence("seq_cst")

    @contextmanager
    def loop(self, count: Value) -> Iterator[Value]:
        """Repeat what is inside `count` times; yields the number of the turn."""
        builder, function = self.builder, self.function
        before = builder.block
        body, end = (function.append_basic_block(name) for name in ("loop", "done"))
        builder.cbranch((count > 0).ir, body, end)
        builder.position_at_end(body)
        turn = builder.phi(_I64)
        turn.add_incoming(ir.Constant(_I64, 0), before)
        yield Value(self, turn)
        following = builder.add(turn, ir.Constant(_I64, 1), flags=["nuw", "nsw"])
        turn.add_incoming(following, builder.block)
        again = builder.cbranch(builder.icmp_signed("<", following, count.ir), body, end)
        # Python has unrolled what should be; LLVM's unrolling would only make the code larger.
        keep = self.module.add_metadata([ir.MetaDataString(self.module, "llvm.loop.unroll.disable")])
        again.set_metadata("llvm.loop", self.module.add_metadata([keep, keep]))
        builder.position_at_end(end)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Do what is inside only if the condition holds."""
        with self.builder.if_then(condition.ir):
            yield

    def otherwise(self, condition: Value, yes: Callable[[], None], no: Callable[[], None]) -> None:
        """Do one thing or the other."""
        with self.builder.if_else(condition.ir) as (then, other):
            with then:
                yes()
            with other:
                no()


def _splat(builder: ir.IRBuilder, scalar: Any, lanes: int) -> Any:
    vector = ir.VectorType(scalar.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)
