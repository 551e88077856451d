"""Kernels that pass over arrays once: what bounds them is how fast numbers come and go.

Each has a variant whose stores pass by the caches. Where a result would not stay in a cache anyway, that is
up to two thirds faster, because what is overwritten is not read first; where it would, it is slower.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tinytorch.runtime.arrays import FLOAT64, DType
from tinytorch.simd import activation
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value, Vectors
from tinytorch.simd.target import Target

#: Vectors that `apply` does at a time, lest the loop's own instructions count; 2 to 16 are alike.
UNROLL = 4
#: Vectors that `operations` does at a time: for float32 they are 8 accumulators of float64, which cover the
#: latency of a multiply-add and fit in 16 registers. 1 is as fast, 4 spill and lose a sixth.
SUM_UNROLL = 2
#: What the names of kernels end with whose stores pass by the caches.
STREAM = "_stream"
#: Bytes to which the results of `operations_stream` must be aligned: what every allocator gives. Three arrays
#: need not be at the same place in a vector, so it stores halves or quarters of one, as fast as whole ones.
ALIGNMENT = 16

Mask: TypeAlias = Value | None
Function: TypeAlias = Callable[[Vectors, list[Value]], Value]


def _relu(V: Vectors, values: list[Value]) -> Value:
    """Return max(0, x); the sum makes 0.0 of -0.0, for less than a comparison and a choice would cost."""
    return activation.relu(V, values[0]) + V.zero()


#: What is done with a vector of each array.
_FUNCTIONS: dict[str, Function] = {
    "copy": lambda V, values: values[0],
    "relu": _relu,
    "add": lambda V, values: values[0] + values[1],
    "multiply": lambda V, values: values[0] * values[1],
}
#: How many arrays that is.
ARRAYS = {"copy": 1, "relu": 1, "add": 2, "multiply": 2}


def elementwise_kernels(target: Target, dtype: DType) -> Mapping[str, Kernel]:
    """Return the kernels for a float dtype."""
    kernels = {}
    for ending in ("", STREAM):
        stream = bool(ending)
        for name, function in _FUNCTIONS.items():
            kernels[name + ending] = Kernel(apply, dtype, stream, ARRAYS[name], function)
        kernels["operations" + ending] = Kernel(operations, dtype, stream)
    return kernels


def apply(
    code: Code,
    dtype: DType,
    stream: bool,
    arrays: int,
    function: Function,
    count: Value,
    x: Value,
    y: Value,
    target: Value,
) -> None:
    """target[i] = function(x[i], y[i]); a function of one array leaves y alone.

    The target is brought to a multiple of a vector first: stores that pass by the caches need it, and others
    that reach into the next cache line take twice as long.
    """
    V = code.vectors(dtype)
    sources, place = [code.address(source) for source in (x, y)[:arrays]], code.address(target)

    def step(at: Value, vectors: int, mask: Mask = None) -> None:
        values = [
            function(V, [V.load(source + at + v * V.bytes, mask) for source in sources])
            for v in range(vectors)
        ]
        for v, value in enumerate(values):
            V.store(value, place + at + v * V.bytes, mask, stream, align=0 if mask else V.bytes)

    head = code.minimum((code.integer(0) - target) % V.bytes // dtype.itemsize, count)
    with code.when(head > 0):
        step(code.integer(0), 1, V.first(head))
    done, left = head * dtype.itemsize, count - head
    with code.loop(left // (UNROLL * V.lanes)) as i:
        step(done + i * (UNROLL * V.bytes), UNROLL)
    last = left % (UNROLL * V.lanes)
    done = done + (left - last) * dtype.itemsize
    with code.loop(last // V.lanes) as i:
        step(done + i * V.bytes, 1)
    rest = last % V.lanes
    with code.when(rest > 0):
        step(done + (last - rest) * dtype.itemsize, 1, V.first(rest))
    if stream:
        code.fence_streams()


def operations(
    code: Code,
    dtype: DType,
    stream: bool,
    count: Value,
    x: Value,
    y: Value,
    product: Value,
    total: Value,
    squares: Value,
    distance: Value,
    dot: Value,
) -> None:
    """Store x * y, x + y and (x - y)^2, and one number each: the float64 sums of (x - y)^2 and of x * y.

    What is summed is computed in float64. Where in the sums a number goes follows from its index alone, never
    from where the arrays lie: in the next call they lie elsewhere, and the sums must be the same.
    """
    V, wide = code.vectors(dtype), code.vectors(FLOAT64)
    p, q = code.address(x), code.address(y)
    targets = [code.address(target) for target in (product, total, squares)]
    parts = V.lanes // wide.lanes
    sums = [[code.variable(wide.zero()) for _ in range(SUM_UNROLL * parts)] for _ in (distance, dot)]

    def step(at: Value, masks: list[Mask]) -> None:
        for v, mask in enumerate(masks):
            here = at + v * V.bytes
            a, b = V.load(p + here, mask), V.load(q + here, mask)
            difference = a - b
            for target, value in zip(targets, (a * b, a + b, difference * difference), strict=True):
                V.store(value, target + here, mask, stream, align=ALIGNMENT if stream and not mask else 0)
            for k, (left, right) in enumerate(zip(V.widen(a), V.widen(b), strict=True)):
                squared, multiplied = (variables[v * parts + k] for variables in sums)
                gap = left - right
                squared.set(wide.fma(gap, gap, squared.get()))
                multiplied.set(wide.fma(left, right, multiplied.get()))

    block = SUM_UNROLL * V.lanes
    with code.loop(count // block) as i:
        step(i * (SUM_UNROLL * V.bytes), [None] * SUM_UNROLL)
    rest = count % block
    with code.when(rest > 0):
        step((count - rest) * dtype.itemsize, [V.first(rest - v * V.lanes) for v in range(SUM_UNROLL)])
    for variables, place in zip(sums, (distance, dot), strict=True):
        wide.store_number(wide.total(variables), code.address(place))
    if stream:
        code.fence_streams()
