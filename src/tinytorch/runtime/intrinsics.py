"""The few machine operations that numba has no word for, each as a function of compiled code.

Addresses are plain int64 values. Atomics are sequentially consistent: the pool launches a million times
a second at most, and the strongest order is the one that can be reasoned about.
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_I32, _I64, _VOID = ir.IntType(32), ir.IntType(64), ir.VoidType()
_ORDER = "seq_cst"


@intrinsic
def load(typingctx: Any, address: Any) -> Any:
    """Read an int64 atomically."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], _I64.as_pointer()), _ORDER, 8)

    return types.int64(types.int64), codegen


@intrinsic
def store(typingctx: Any, address: Any, value: Any) -> Any:
    """Write an int64 atomically."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], builder.inttoptr(args[0], _I64.as_pointer()), _ORDER, 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to an int64 atomically; returns what was there before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], _I64.as_pointer()), args[1], _ORDER)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def compare_and_swap(typingctx: Any, address: Any, expected: Any, value: Any) -> Any:
    """Write `value` if `expected` is there; says whether it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.extract_value(builder.cmpxchg(pointer, args[1], args[2], _ORDER, _ORDER), 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def pause(typingctx: Any) -> Any:
    """Tell the CPU that this is a spin loop: it saves power and leaves the pipeline to a sibling thread."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64"):
            kind = ir.FunctionType(_VOID, [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        elif machine in ("aarch64", "arm64"):
            kind = ir.FunctionType(_VOID, [_I32])
            hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(hint, [_I32(1)])  # YIELD
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def call_system(typingctx: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call a C function of the operating system by its address with up to four integers or pointers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_I32, [_I64] * 4)  # what is passed beyond its parameters, it does not look at
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def call_tile(typingctx: Any, function: Any, arguments: Any, tile: Any, thread: Any) -> Any:
    """Call a compiled `void(int64 arguments, int64 tile, int64 thread)` by its address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_VOID, [_I64] * 3)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


@intrinsic
def call_kernel(typingctx: Any, function: Any, arguments: Any) -> Any:
    """Call a kernel of `simd` by its address with a tuple of integers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = [builder.extract_value(args[1], i) for i in range(len(arguments))]
        kind = ir.FunctionType(_VOID, [_I64] * len(numbers))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), numbers)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), codegen


@intrinsic
def address_of(typingctx: Any, values: Any) -> Any:
    """Put a tuple on the stack of the calling function and return its address, valid until that returns."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once_value(builder, args[0]), _I64)

    return types.int64(values), codegen


@intrinsic
def tuple_at(typingctx: Any, address: Any, kind: Any) -> Any:
    """Read back the tuple that `address_of` put down, its arrays without an owner.

    The caller of the tile keeps them alive. With an owner, every slice of an array would count itself on
    the owner's reference counter, atomically, and threads would spend their time passing that one cache
    line to and fro: a convolution took four times as long on two threads as on one.
    """
    values = kind.instance_type

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], context.get_value_type(values).as_pointer())
        result = builder.load(pointer)
        for index, element in enumerate(values):
            if isinstance(element, types.Array):
                array = context.make_array(element)(context, builder, builder.extract_value(result, index))
                array.meminfo = array.meminfo.type(None)
                array.parent = array.parent.type(None)
                result = builder.insert_value(result, array._getvalue(), index)
        return result

    return values(types.int64, kind), codegen
