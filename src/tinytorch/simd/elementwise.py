"""Kernels that pass over arrays once: what bounds them is how fast numbers come and go.

Each has a variant that stores past the caches: a third faster where the result would not stay in a cache
anyway, because what is overwritten need not be read first.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tinytorch.runtime.arrays import FLOAT64, DType
from tinytorch.simd import activation
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value, Vectors
from tinytorch.simd.target import Target

#: Vectors done at a time: two cache lines or more, so that the loop's own instructions cost nothing.
UNROLL = 4
#: Of `operations`: with two sums in float64, 2 vectors of float32 are 8 accumulators, enough to cover the
#: latency of a multiply-add and few enough for 16 registers.
SUM_UNROLL = 2
#: What the names of kernels end with whose stores pass by the caches.
STREAM = "_stream"

Mask: TypeAlias = Value | None


def _relu(V: Vectors, x: Value) -> Value:
    """Return max(0, x) with 0.0 for -0.0: the sum is what a comparison and an `and` would do, one load less."""
    return activation.relu(V, x) + V.zero()


#: What is done with a vector of each of two arrays; a function of one array leaves the second alone.
_FUNCTIONS: dict[str, tuple[int, Callable[[Vectors, list[Value]], Value]]] = {
    "copy": (1, lambda V, values: values[0]),
    "relu": (1, lambda V, values: _relu(V, values[0])),
    "add": (2, lambda V, values: values[0] + values[1]),
    "multiply": (2, lambda V, values: values[0] * values[1]),
}


def elementwise_kernels(target: Target, dtype: DType) -> Mapping[str, Kernel]:
    """Return the kernels for a dtype, each in two variants."""
    kernels = {}
    for ending in ("", STREAM):
        for name, (arrays, function) in _FUNCTIONS.items():
            kernels[name + ending] = Kernel(4, _with(apply, dtype, bool(ending), arrays, function))
        kernels["operations" + ending] = Kernel(8, _with(operations, dtype, bool(ending)))
    return kernels


def _with(write, *fixed):  # type: ignore[no-untyped-def]
    """Fix the arguments that are known when the kernel is written."""
    return lambda code, *arguments: write(code, *fixed, *arguments)


def apply(
    code: Code,
    dtype: DType,
    stream: bool,
    arrays: int,
    function: Callable[[Vectors, list[Value]], Value],
    count: Value,
    x: Value,
    y: Value,
    target: Value,
) -> None:
    """target[i] = function(x[i], y[i]); a function of one array does not look at y.

    The target is brought to the alignment of a vector first: stores past the caches need it, and others that
    cross from one cache line to the next take twice as long.
    """
    V = code.vectors(dtype)
    size = dtype.itemsize
    sources, place = [code.address(source) for source in (x, y)[:arrays]], code.address(target)

    def step(at: Value, vectors: int, mask: Mask = None) -> None:
        places = [at + v * V.bytes for v in range(vectors)]
        values = [function(V, [V.load(source + p, mask) for source in sources]) for p in places]
        for p, value in zip(places, values, strict=True):
            if mask is None:
                V.store(value, place + p, stream=stream, align=V.bytes)
            else:
                V.store(value, place + p, mask)

    head = code.minimum((code.integer(0) - target) % V.bytes // size, count)
    with code.when(head > 0):
        step(code.integer(0), 1, V.first(head))
    rest = count - head
    start = head * size
    many = rest // (UNROLL * V.lanes)
    with code.loop(many) as i:
        step(start + i * (UNROLL * V.bytes), UNROLL)
    start, rest = start + many * (UNROLL * V.bytes), rest - many * (UNROLL * V.lanes)
    with code.loop(rest // V.lanes) as i:
        step(start + i * V.bytes, 1)
    last = rest % V.lanes
    with code.when(last > 0):
        step(start + (rest - last) * size, 1, V.first(last))
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
    """Store x * y, x + y and (x - y)^2, and the float64 sums of (x - y)^2 and x * y, unrounded, once each.

    Which lane a number is added to follows from its index alone, never from where the arrays lie: they are
    at other addresses in the next call, and the sums must be the same.
    """
    V, wide = code.vectors(dtype), code.vectors(FLOAT64)
    p, q = code.address(x), code.address(y)
    places = [code.address(target) for target in (product, total, squares)]
    parts = V.lanes // wide.lanes
    sums = [[code.variable(wide.zero()) for _ in range(SUM_UNROLL * parts)] for _ in range(2)]

    def step(at: Value, masks: list[Mask]) -> None:
        for v, mask in enumerate(masks):
            here = at + v * V.bytes
            a, b = V.load(p + here, mask), V.load(q + here, mask)
            difference = a - b
            for place, value in zip(places, (a * b, a + b, difference * difference), strict=True):
                if mask is None:
                    V.store(value, place + here, stream=stream, align=16 if stream else 0)
                else:
                    V.store(value, place + here, mask)
            for k, (left, right) in enumerate(zip(V.widen(a), V.widen(b), strict=True)):
                squared, multiplied = sums[0][v * parts + k], sums[1][v * parts + k]
                gap = left - right
                squared.set(wide.fma(gap, gap, squared.get()))
                multiplied.set(wide.fma(left, right, multiplied.get()))

    block = SUM_UNROLL * V.lanes
    many = count // block
    with code.loop(many) as i:
        step(i * (SUM_UNROLL * V.bytes), [None] * SUM_UNROLL)
    rest = count - many * block
    with code.when(rest > 0):
        step(many * (SUM_UNROLL * V.bytes), [V.first(rest - v * V.lanes) for v in range(SUM_UNROLL)])
    for variables, place in zip(sums, (distance, dot), strict=True):
        together = variables[0].get()
        for variable in variables[1:]:
            together = together + variable.get()
        wide.store_number(wide.sum(together), code.address(place))
    if stream:
        code.fence_streams()
