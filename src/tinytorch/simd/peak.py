"""The most that the vector unit does: independent multiply-adds, all operands in registers."""

from collections.abc import Mapping

from tinytorch.runtime.arrays import BFLOAT16, FLOAT32, INT8, INT32, DType
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value
from tinytorch.simd.target import Target

#: What products of a dtype are added up in, where that is another one.
SUMS = {BFLOAT16: FLOAT32, INT8: INT32}


def accumulators(target: Target) -> int:
    """Return how many sums run side by side: the register tile's, which hide a multiply-add's latency."""
    return target.rows * target.vectors


def peak_kernels(target: Target, dtype: DType) -> Mapping[str, Kernel]:
    """Return "peak", which takes (turns, address of two vectors and one more for each accumulator)."""
    return {"peak": Kernel(peak, dtype)}


def turn_operations(target: Target, dtype: DType) -> int:
    """Return the operations of a turn: two for each number that is multiplied and added."""
    sums = SUMS.get(dtype, dtype)
    group = target.group if dtype == INT8 else sums.itemsize // dtype.itemsize
    return 2 * accumulators(target) * target.lanes(sums) * group


def peak(code: Code, dtype: DType, turns: Value, memory: Value) -> None:
    """Do `turns` rounds of one multiply-add for each accumulator, and store the sums, so that they count.

    Of int8 it is a group for each lane of int32, of bfloat16 a pair for each of float32.
    """
    V = code.vectors(SUMS.get(dtype, dtype))
    place = code.address(memory)
    x, y = V.load(place), V.load(place + V.bytes)
    groups = V.load_groups(place + V.bytes) if dtype == INT8 else y
    rest = place + 2 * V.bytes
    sums = [code.variable(V.load(rest + i * V.bytes)) for i in range(accumulators(code.target))]
    with code.loop(turns):
        for total in sums:
            if dtype == INT8:
                total.set(V.dot_groups(V.opaque(x), groups, total.get()))  # or its product would be made once
            elif dtype == BFLOAT16:
                total.set(V.dot(x, y, total.get()))
            else:
                total.set(V.fma(total.get(), x, y))
    for i, total in enumerate(sums):
        V.store(total.get(), rest + i * V.bytes)
