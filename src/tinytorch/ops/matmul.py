"""Matrix products, from three Python loops to a cache-blocked kernel on every CPU.

The ladder: `loops` says what a product is; `numpy_product` is what everything is measured against;
`blocked` cuts the loops so that the same block of B is used while it is in the cache; `vectorized` keeps a
packed panel of B in L2 and feeds four rows of C from four rows of the panel at a time, so that each number
loaded takes part in four multiply-adds; `parallel` lets the pool's threads claim its tiles.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types

from tinytorch.ops.epilogue import NONE, finish_integers, for_integers, store
from tinytorch.ops.registry import Cost, Operation, draw, product_bound
from tinytorch.runtime.arrays import (
    FLOATS,
    INTEGERS,
    Array,
    DType,
    Output,
    common_dtype,
    compute_dtype,
    contiguous,
    convert,
    empty,
    like,
    or_empty,
    read,
)
from tinytorch.runtime.compile import REASSOCIATE, device_function, tile_kernel
from tinytorch.runtime.scratch import scratch
from tinytorch.runtime.threads import threads_for

# A panel of KC x NR float32 is 256 KB: half of the L2 of a Zen 3 or Ice Lake server core, so that the rows
# of C and A that pass by do not evict it. Of KC in 64..512 and NR in 64..512, this pair was the fastest at
# 1024 (68 GFLOP/s of a peak of about 100; 54 for 64 x 128, 59 for 512 x 512; Zen 3, one thread).
KC = 256
NR = 256
#: Rows of C in a tile: packing a panel costs about as much as eight rows of work (estimated): 6% of 128.
MR = 128
#: Up to this many rows the panel is read once or twice, and packing it would cost more than it saves.
UNPACKED_ROWS = 8
#: Below this many columns the vectors run along K instead of along N.
NARROW = 8
#: Multiply-adds below which a product stays on one thread: about 20 us of work, twice a wake-up's price.
SERIAL = 500_000


#: The index of a batch of one.
ONLY = np.zeros(1, np.int64)


@dataclass
class Problem:
    """A product brought to one form: stacks of matrices, and which of them each product of the batch uses."""

    a: Array  # (batch of a, M, K), contiguous
    b: Array  # (batch of b, K, N), contiguous
    a_index: Array  # (batch,) int64
    b_index: Array
    shape: tuple[int, ...]  # of the result, as numpy.matmul has it
    dtype: DType  # of the result

    @property
    def matrices(self) -> tuple[int, int, int]:
        """The result as a stack (batch, M, N)."""
        return len(self.a_index), self.a.shape[1], self.b.shape[2]


def result_shape(a: Array, b: Array) -> tuple[int, ...]:
    """Return the shape of `a @ b` by numpy.matmul's rules; ValueError naming both shapes if there is none."""
    shapes = f"{a.shape} and {b.shape}"
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"a product needs at least one dimension on each side; the shapes are {shapes}")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise ValueError(f"inner dimensions differ: the shapes are {shapes} ({a.shape[-1]} against {inner})")
    if a.ndim == b.ndim == 2:
        return a.shape[0], b.shape[1]
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"batch dimensions do not broadcast: the shapes are {shapes}") from None
    return batch + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ())


def problem(a: Array, b: Array, computed: DType | None = None) -> Problem:
    """Bring a product to one form, its operands in `computed`, by default the dtype that the result needs.

    Raises ValueError for shapes as `numpy.matmul` does, TypeError for dtypes.
    """
    shape, dtype = result_shape(a, b), common_dtype(a=a, b=b)
    rows = a if a.ndim > 1 else a[None, :]
    columns = b if b.ndim > 1 else b[:, None]
    computed = compute_dtype(dtype) if computed is None else computed
    if columns.ndim == 2 and rows.ndim > 2:  # one B for the whole batch: the batch is more rows
        rows = contiguous(rows, computed).reshape(math.prod(rows.shape[:-1]), rows.shape[-1])
    if rows.ndim == columns.ndim == 2:
        left, right = contiguous(rows, computed)[None], contiguous(columns, computed)[None]
        return Problem(left, right, ONLY, ONLY, shape, dtype)
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    return Problem(
        _stack(rows, computed),
        _stack(columns, computed),
        _which(rows.shape[:-2], batch),
        _which(columns.shape[:-2], batch),
        shape,
        dtype,
    )


def _stack(matrices: Array, dtype: DType) -> Array:
    shape = matrices.shape
    return contiguous(matrices, dtype).reshape((math.prod(shape[:-2]), *shape[-2:]))


def _which(own: tuple[int, ...], batch: tuple[int, ...]) -> Array:
    """Number an operand's matrices, repeated over the batch as broadcasting repeats them."""
    return np.broadcast_to(np.arange(math.prod(own)).reshape(own), batch).reshape(-1).copy()


# Declaration


def _reference(a: Array, b: Array) -> Array:
    result = np.result_type(a, b)
    return np.matmul(a, b) if result.kind in "iu" else np.matmul(a.astype(np.float64), b.astype(np.float64))


def _bound(a: Array, b: Array) -> Array:
    return product_bound(a, b, np.result_type(a, b), a.shape[-1])


def _cost(a: Array, b: Array) -> Cost:
    size = math.prod(result_shape(a, b))
    return Cost(2 * size * a.shape[-1], a.nbytes + b.nbytes + size * np.result_type(a, b).itemsize)


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
    p = problem(a, b)
    out = empty(p.matrices, compute_dtype(p.dtype))
    block = min(block_size, max(*p.a.shape, *p.b.shape, 1))
    _blocked[out.dtype](len(out), p.a, p.b, p.a_index, p.b_index, out, block)
    return convert(out.reshape(p.shape), p.dtype)


@device_function
def accumulate(c, a, panel, i0, k0, k1, row, column):
    """c += a[i0:..., k0:k1] @ panel, whose part begins at (row, column); `c` is one thread's own tile.

    Four rows of `c` by four rows of the panel: eight vectors loaded and four stored for sixteen
    multiply-adds, which hides the loads. Two by eight reaches 49 GFLOP/s where this reaches 68, four by
    two 53, six by two 52.
    """
    rows, width = c.shape
    i = 0
    while i + 4 <= rows:
        c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
        a0, a1 = a[i0 + i, k0:k1], a[i0 + i + 1, k0:k1]
        a2, a3 = a[i0 + i + 2, k0:k1], a[i0 + i + 3, k0:k1]
        k = 0
        while k + 4 <= k1 - k0:
            p = panel[row + k, column : column + width]
            q = panel[row + k + 1, column : column + width]
            r = panel[row + k + 2, column : column + width]
            s = panel[row + k + 3, column : column + width]
            a00, a01, a02, a03 = a0[k], a0[k + 1], a0[k + 2], a0[k + 3]
            a10, a11, a12, a13 = a1[k], a1[k + 1], a1[k + 2], a1[k + 3]
            a20, a21, a22, a23 = a2[k], a2[k + 1], a2[k + 2], a2[k + 3]
            a30, a31, a32, a33 = a3[k], a3[k + 1], a3[k + 2], a3[k + 3]
            for j in range(width):
                b0, b1, b2, b3 = p[j], q[j], r[j], s[j]
                c0[j] = c0[j] + a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                c1[j] = c1[j] + a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                c2[j] = c2[j] + a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                c3[j] = c3[j] + a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
            k += 4
        while k < k1 - k0:
            p = panel[row + k, column : column + width]
            a00, a10, a20, a30 = a0[k], a1[k], a2[k], a3[k]
            for j in range(width):
                c0[j] += a00 * p[j]
                c1[j] += a10 * p[j]
                c2[j] += a20 * p[j]
                c3[j] += a30 * p[j]
            k += 1
        i += 4
    while i < rows:
        c0, a0 = c[i], a[i0 + i, k0:k1]
        k = 0
        while k + 4 <= k1 - k0:
            p = panel[row + k, column : column + width]
            q = panel[row + k + 1, column : column + width]
            r = panel[row + k + 2, column : column + width]
            s = panel[row + k + 3, column : column + width]
            a00, a01, a02, a03 = a0[k], a0[k + 1], a0[k + 2], a0[k + 3]
            for j in range(width):
                c0[j] = c0[j] + a00 * p[j] + a01 * q[j] + a02 * r[j] + a03 * s[j]
            k += 4
        while k < k1 - k0:
            p = panel[row + k, column : column + width]
            a00 = a0[k]
            for j in range(width):
                c0[j] += a00 * p[j]
            k += 1
        i += 1


@device_function
def cut(memory, start, rows, columns):
    """Return (a matrix of rows x columns in scratch memory, where it ends, on a line of its own)."""
    end = start + rows * columns
    return memory[start:end].reshape(rows, columns), -(-end // 16) * 16


@device_function
def zeros(memory, rows, columns):
    """Return (a tile of zeros in scratch memory, where it ends)."""
    c, end = cut(memory, 0, rows, columns)
    for i in range(rows):
        line = c[i]
        for j in range(columns):
            line[j] = 0
    return c, end


def tile_scratch(threads: int, rows: int, columns: int, depth: int, dtype: DType) -> Array:
    """Return scratch for a tile of the result and a panel of `depth` rows for each thread.

    A tile is summed up in memory of its thread's own and stored once: summed up in the result itself, two
    threads with neighbouring tiles would pass the cache lines at their border to and fro at every step.
    """
    columns = min(NR, columns)
    return scratch(threads, rows * columns + 16 + min(KC, depth) * columns, dtype)


@tile_kernel(
    lambda T: (
        *(T[:, :, ::1], T[:, :, ::1], types.int64[::1], types.int64[::1]),
        *(T[::1], types.int64, T[:, :, ::1], T[:, ::1]),
    )
)
def _wide(tile, thread, a, b, a_index, b_index, bias, code, out, memory):
    """One tile, MR x NR, of one product of the batch."""
    rows, inner, columns = out.shape[1], a.shape[2], out.shape[2]
    row_tiles, column_tiles = -(-rows // MR), -(-columns // NR)
    item, within = tile // (row_tiles * column_tiles), tile % (row_tiles * column_tiles)
    # Neighbouring tiles share their panel of B, the larger operand, in the last level cache.
    i0, j0 = (within % row_tiles) * MR, (within // row_tiles) * NR
    height, width = min(MR, rows - i0), min(NR, columns - j0)
    left, right = a[a_index[item]], b[b_index[item]]
    c, end = zeros(memory[thread], height, width)
    if height <= UNPACKED_ROWS:
        accumulate(c, left, right, i0, 0, inner, 0, j0)
    else:
        panel, end = cut(memory[thread], end, min(KC, inner), width)
        for k0 in range(0, inner, KC):
            k1 = min(k0 + KC, inner)
            for k in range(k0, k1):
                target, source = panel[k - k0], right[k, j0 : j0 + width]
                for j in range(width):
                    target[j] = source[j]
            accumulate(c, left, panel, i0, k0, k1, 0, 0)
    store(c, out[item], i0, j0, bias, code)


@tile_kernel(lambda T: (T[:, ::1], T[::1], T[::1], types.int64, T[:, ::1], T[:, ::1]))
def _packed(tile, thread, a, panels, bias, code, out, memory):
    """One tile of a product with packed weights: see `pack`."""
    rows, inner, columns = out.shape[0], a.shape[1], out.shape[1]
    row_tiles = -(-rows // MR)
    i0, j0 = (tile % row_tiles) * MR, (tile // row_tiles) * NR
    height, width = min(MR, rows - i0), min(NR, columns - j0)
    panel = panels[j0 * inner : (j0 + width) * inner].reshape(inner, width)
    c, _ = zeros(memory[thread], height, width)
    for k0 in range(0, inner, KC):
        accumulate(c, a, panel, i0, k0, min(k0 + KC, inner), k0, 0)
    store(c, out, i0, j0, bias, code)


@tile_kernel(
    lambda T: (
        *(T[:, :, ::1], T[:, :, ::1], types.int64[::1], types.int64[::1]),
        *(T[::1], types.int64, T[:, :, ::1], types.int64),
    ),
    fastmath=REASSOCIATE,
)
def _narrow(tile, thread, a, b, a_index, b_index, bias, code, out, step):
    """`step` rows of a product with few columns, as dot products along K; `b` is (batch, N, K) here."""
    rows, inner, columns = out.shape[1], a.shape[2], out.shape[2]
    row_tiles = -(-rows // step)
    item, i0 = tile // row_tiles, (tile % row_tiles) * step
    left, right, c = a[a_index[item]], b[b_index[item]], out[item]
    i1 = min(i0 + step, rows)
    for i in range(i0, i1):
        x = left[i]
        for j in range(columns):
            y = right[j]
            total = x.dtype.type(0)
            for k in range(inner):
                total += x[k] * y[k]
            c[i, j] = total
    store(c[i0:i1], c, i0, 0, bias, code)


@MATMUL.rung("vectorized")
def vectorized(a: Array, b: Array) -> Array:
    """Packed panels and four-by-four steps that the compiler turns into SIMD; one thread."""
    return product(a, b, threads=1)


@MATMUL.rung("parallel")
def parallel(a: Array, b: Array) -> Array:
    """The vectorized product, its tiles claimed by the pool's threads."""
    return product(a, b)


def product(
    a: Array,
    b: Array,
    bias: Array | None = None,
    activation: int = NONE,
    out: Any = None,
    threads: int | None = None,
) -> Array:
    """Return activation(a @ b + bias), `bias` of shape (N,); by default on as many threads as it pays for."""
    p = problem(a, b)
    computed = compute_dtype(p.dtype)
    output = Output(out, p.shape, p.dtype, computed, (a, b, bias))
    c = output.buffer.reshape(p.matrices)
    batch, rows, columns = p.matrices
    inner = p.a.shape[2]
    offsets = or_empty(bias, computed)
    work = batch * rows * columns * inner
    where = (p.a_index, p.b_index, offsets, for_integers(activation, p.dtype), c)
    if c.size == 0:
        pass
    elif columns < NARROW:
        step = min(max(1, 65536 // max(1, inner * columns)), rows)
        tiles = batch * -(-rows // step)
        b_rows = contiguous(p.b.transpose(0, 2, 1), computed)
        _narrow[computed](tiles, p.a, b_rows, *where, step, threads=threads_for(work, SERIAL, tiles, threads))
    else:
        tiles = batch * -(-rows // MR) * -(-columns // NR)
        threads = threads_for(work, SERIAL, tiles, threads)
        memory = tile_scratch(threads, min(MR, rows), columns, inner, computed)
        _wide[computed](tiles, p.a, p.b, *where, memory, threads=threads)
    return finish_integers(activation, output.take())


def pack(weight: Array) -> Array:
    """Lay a (K, N) matrix out as panels: NR columns at a time, each panel contiguous; same size."""
    inner, columns = weight.shape
    panels = empty((inner * columns,), weight.dtype)
    for j0 in range(0, columns, NR):
        j1 = min(j0 + NR, columns)
        panels[j0 * inner : j1 * inner] = weight[:, j0:j1].reshape(-1)
    return panels


def product_packed(a: Array, panels: Array, bias: Array, activation: int, out: Array) -> None:
    """Write activation(a @ weight + bias) to `out`, with the weight packed; all 2-D, of one dtype."""
    tiles = -(-out.shape[0] // MR) * -(-out.shape[1] // NR)
    threads = threads_for(out.size * a.shape[1], SERIAL, tiles)
    memory = tile_scratch(threads, min(MR, out.shape[0]), out.shape[1], 0, out.dtype)
    _packed[out.dtype](tiles, a, panels, bias, activation, out, memory, threads=threads)


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """Return the product of two arrays by `numpy.matmul`'s rules: (..., M, K) and (..., K, N) to (..., M, N).

    The result is of the kind that was given (ndarray, `Tensor`, torch tensor), or `out` itself.
    Raises ValueError naming both shapes if they do not fit, or for an `out` of another shape or dtype or that
    overlaps an input; TypeError for a dtype that kernels do not take.

    >>> import numpy as np
    >>> matmul(np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)
    """
    result = product(read("a", a), read("b", b), out=out)
    return like(result, a, b) if out is None else out
