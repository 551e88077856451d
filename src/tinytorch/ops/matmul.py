"""Matrix products, from three Python loops to SIMD on every CPU.

The ladder: `loops` says what a product is; `numpy_product` is what everything is measured against;
`blocked` cuts the loops so that the same block of B is used while it is in the cache; `vectorized` keeps a
tile of C in registers, packs blocks of A and B for it, and reads every number from the nearest cache;
`parallel` lets the pool's threads claim parts of C. How: `ops.plan` decides, `ops.gemm` has the loops,
`simd.product` the micro-kernel.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numba import types
from numpy import ndarray

from tinytorch.ops.launch import SMALL, SMALL_B, launcher
from tinytorch.ops.plan import kernels, prepare_contiguous
from tinytorch.ops.product import product, result_shape, run, stacks
from tinytorch.ops.registry import Operation, draw, product_bound
from tinytorch.runtime.arrays import (
    FLOAT32,
    FLOAT64,
    FLOATS,
    INTEGERS,
    Array,
    DType,
    common_dtype,
    compute_dtype,
    convert,
    empty,
    like,
    read,
)
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.threads import get_num_threads
from tinytorch.simd.target import chosen, tile

# Declaration


def _reference(a: Array, b: Array) -> Array:
    result = np.result_type(a, b)
    return np.matmul(a, b) if result.kind in "iu" else np.matmul(a.astype(np.float64), b.astype(np.float64))


def _bound(a: Array, b: Array) -> Array:
    return product_bound(a, b, np.result_type(a, b), a.shape[-1])


def _cost(a: Array, b: Array) -> Cost:
    size = math.prod(result_shape(a, b))
    return Cost(2 * size * a.shape[-1], a.nbytes + b.nbytes, size * np.result_type(a, b).itemsize)


def _inputs(rng: np.random.Generator, shape: tuple[int, int, int], dtype: DType) -> tuple[Array, Array]:
    rows, inner, columns = shape
    return draw(rng, (rows, inner), dtype), draw(rng, (inner, columns), dtype)


MATMUL = Operation(
    "matmul",
    inputs=_inputs,
    reference=_reference,
    bound=_bound,
    cost=_cost,
    # (M, K, N): one of everything, every edge of a tile, K past one panel, each path of `product`
    shapes=(
        (1, 1, 1), (2, 3, 4), (7, 13, 5), (1, 17, 300), (4, 4, 8), (9, 5, 7), (33, 17, 40), (3, 300, 257),
        (12, 513, 12), (130, 259, 258), (1000, 1, 30), (1, 1000, 1), (0, 3, 4), (3, 0, 4), (3, 4, 0),
    ),
)  # fmt: skip


# Rungs


@MATMUL.rung("python loops", slow=True)
def loops(a: Array, b: Array) -> Array:
    """Three loops over Python numbers: what a product is."""
    rows, inner, columns = a.shape[0], a.shape[1], b.shape[1]
    left, right = a.tolist(), b.tolist()
    result = [[0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            total = 0
            for k in range(inner):
                total += left[i][k] * right[k][j]
            result[i][j] = total
    dtype = common_dtype(a=a, b=b)
    if dtype in INTEGERS:  # Python's integers do not wrap around; NumPy's do
        wrapped = [[value % 2**64 for value in row] for row in result]
        return np.array(wrapped, np.uint64).reshape(rows, columns).astype(dtype)
    return convert(np.array(result, np.float64).reshape(rows, columns), dtype)


@MATMUL.rung("numpy")
def numpy_product(a: Array, b: Array) -> Array:
    """NumPy's product, which is its BLAS library's for floats."""
    shape, dtype = result_shape(a, b), common_dtype(a=a, b=b)
    computed = compute_dtype(dtype) if dtype in FLOATS else dtype
    out = empty(shape, computed)
    with np.errstate(over="ignore", invalid="ignore"):
        np.matmul(a.astype(computed, copy=False), b.astype(computed, copy=False), out=out)
    return convert(out, dtype)


@tile_kernel(
    lambda T: (T[:, :, ::1], T[:, :, ::1], types.int64[::1], types.int64[::1], T[:, :, ::1], types.int64)
)
def _blocked(tile, thread, a, b, a_index, b_index, out, block):
    left, right, c = a[a_index[tile]], b[b_index[tile]], out[tile]
    rows, inner, columns = left.shape[0], left.shape[1], right.shape[1]
    for i in range(rows):
        for j in range(columns):
            c[i, j] = 0
    for i0 in range(0, rows, block):
        for k0 in range(0, inner, block):
            for j0 in range(0, columns, block):
                j1 = min(j0 + block, columns)
                for i in range(i0, min(i0 + block, rows)):
                    row = c[i, j0:j1]
                    for k in range(k0, min(k0 + block, inner)):
                        value = left[i, k]
                        panel = right[k, j0:j1]
                        for j in range(j1 - j0):
                            row[j] += value * panel[j]


@MATMUL.rung("blocked")
def blocked(a: Array, b: Array, block_size: int = 32) -> Array:
    """Compiled loops over blocks that fit in the cache; one thread."""
    p = stacks(a, b)
    out = empty(p.matrices, compute_dtype(p.dtype))
    block = min(block_size, max(*p.a.shape, *p.b.shape, 1))
    _blocked[out.dtype](len(out), p.a, p.b, p.a_index, p.b_index, out, block)
    return convert(out.reshape(p.shape), p.dtype)


@MATMUL.rung("vectorized")
def vectorized(a: Array, b: Array) -> Array:
    """Tiles of C in registers, blocks of A and B packed for them; one thread."""
    return product(a, b, threads=1)


@MATMUL.rung("parallel")
def parallel(a: Array, b: Array) -> Array:
    """The vectorized product, its tiles claimed by the pool's threads."""
    return product(a, b)


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """Return the product of two arrays by `numpy.matmul`'s rules: (..., M, K) and (..., K, N) to (..., M, N).

    The result is of the kind that was given (ndarray, `Tensor`, torch tensor), or `out` itself.
    Raises ValueError naming both shapes if they do not fit, or for an `out` of another shape or dtype or that
    overlaps an input; TypeError for a dtype that kernels do not take.

    >>> import numpy as np
    >>> matmul(np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)
    """
    # A small product is over in less time than it takes to look at its arguments properly. The plainest, two
    # matrices of one float dtype, are looked at here, for a third of a microsecond; the rest in `product`.
    if type(a) is ndarray and type(b) is ndarray and a.ndim == 2 and b.ndim == 2:
        dtype, (rows, inner) = a.dtype, a.shape
        if b.dtype is dtype and (dtype is FLOAT32 or dtype is FLOAT64) and len(b) == inner:
            c, columns, size = out, b.shape[1], b.size
            if out is None:
                shape = rows, columns
                c = ndarray(shape, dtype) if rows * columns < _LARGE else empty(shape, dtype)
            if type(c) is ndarray and c.dtype is dtype and c.ndim == 2 and c.flags.writeable:
                if rows * size <= SMALL and (size <= SMALL_B or rows > 4) and _SMALL[dtype](a, b, c):
                    return c
                if rows * size:
                    prepared = prepare_contiguous(dtype, a.shape, columns, get_num_threads())
                    at_once = prepared.at_once
                    if run(prepared, a, b, c) if at_once is None else at_once(a, b, c):
                        return c
    result = product(read("a", a), read("b", b), out=out)
    return like(result, a, b) if out is None else out


def _small(dtype: DType) -> Any:
    """Return what multiplies small matrices of a dtype, made when it is first called."""

    def first(a: Array, b: Array, c: Array) -> bool:
        code = kernels(dtype)
        entry = launcher(dtype, dtype, dtype).small
        _SMALL[dtype] = partial(entry, code["direct"], code["direct_edge"], tile(chosen(), dtype)[1])
        return _SMALL[dtype](a, b, c)

    return first


_SMALL: dict[DType, Any] = {dtype: _small(dtype) for dtype in (FLOAT32, FLOAT64)}
_LARGE = 1 << 20  # elements of a result from which memory is asked for before it is taken


for _function in (matmul, product, numpy_product, blocked):
    MATMUL.counts(_function, lambda a, b: (read("a", a), read("b", b)))
