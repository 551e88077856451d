"""What this machine can do at most: multiply-adds a second from registers alone, on so many threads.

Each thread runs a loop of independent fused multiply-adds, as many as hide their latency. The clock of a
server drifts by a tenth, so a peak is measured beside what is compared with it, not once for all.
"""

import threading
import time
from functools import cache
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: A sample: long enough that starting and stopping do not count.
_SECONDS = 2e-3
_SAMPLES = 3
#: bfloat16 is computed in float32 by every kernel compared here.
_BITS = {"float32": 32, "bfloat16": 32, "float64": 64}


def peak(threads: int, dtype: str) -> float:
    """Return floating-point operations a second of `threads` threads, a multiply-add being two.

    >>> peak(1, "float32") > 1e9
    True
    """
    loop, flops = _loop(_BITS[dtype])
    return max(_together(threads, loop, flops) for _ in range(_SAMPLES))


def _together(threads: int, loop: Any, flops: int) -> float:
    """Sum the rates of threads that run the loop at the same time."""
    _, once = _timed(loop, 1000)
    turns = int(1000 * _SECONDS / once)
    rates, start = [0.0] * threads, threading.Barrier(threads)

    def run(index: int) -> None:
        start.wait()
        _, seconds = _timed(loop, turns)
        rates[index] = flops * turns / seconds

    others = [threading.Thread(target=run, args=(index,)) for index in range(1, threads)]
    for thread in others:
        thread.start()
    run(0)
    for thread in others:
        thread.join()
    return sum(rates)


def _timed(loop: Any, turns: int) -> tuple[float, float]:
    begin = time.perf_counter()
    result = loop(turns, 0.5, 1.0)
    return result, time.perf_counter() - begin


@cache
def _loop(bits: int) -> tuple[Any, int]:
    """Compile the loop for elements of so many bits; says how many operations a turn has."""
    features = binding.get_host_cpu_features()
    # Vectors as wide as the CPU has, and accumulators that fill its registers but for the two operands: 12 of
    # 16; the CPUs with 32 registers have up to four pipes of four cycles each to fill.
    wide, broad = bool(features.get("avx512f")), bool(features.get("avx"))
    length = (64 if wide else 32 if broad else 16) * 8 // bits
    accumulators = 24 if wide or features.get("neon") else 12
    vector = ir.VectorType(ir.FloatType() if bits == 32 else ir.DoubleType(), length)
    name = f"llvm.fma.v{length}f{bits}"

    @intrinsic
    def multiply_add(typingctx: Any, turns: Any, factor: Any, term: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, name)
            x, y = (_broadcast(builder, value, vector) for value in args[1:])
            # Not all the same to begin with, or the compiler would compute one of them only.
            sums = [
                cgutils.alloca_once_value(builder, ir.Constant(vector, [float(index)] * length))
                for index in range(accumulators)
            ]
            with cgutils.for_range(builder, args[0]):
                for place in sums:
                    builder.store(builder.call(fma, [builder.load(place), x, y]), place)
            total = builder.load(sums[0])
            for place in sums[1:]:
                total = builder.fadd(total, builder.load(place))
            first = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
            return first if bits == 64 else builder.fpext(first, ir.DoubleType())

        return types.float64(types.int64, types.float64, types.float64), codegen

    @numba.njit("float64(int64, float64, float64)", nogil=True)
    def loop(turns, factor, term):
        return multiply_add(turns, factor, term)

    return loop, 2 * length * accumulators


def _broadcast(builder: Any, value: Any, vector: Any) -> Any:
    element = value if vector.element == value.type else builder.fptrunc(value, vector.element)
    filled = builder.insert_element(
        ir.Constant(vector, ir.Undefined), element, ir.Constant(ir.IntType(32), 0)
    )
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(filled, filled, mask)
