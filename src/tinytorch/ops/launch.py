"""From arrays to addresses: the compiled functions that Python calls to run a product.

A small product is over in half a microsecond, so what comes before it counts. These functions take their
arrays past numba's dispatcher, which would look up the type of every argument again; they check what is
cheap to check in compiled code, and return False, with nothing done, if the arrays want a closer look.
"""

import functools
from typing import Any

import numba
import numpy as np
from numba import types

from tinytorch.ops.gemm import PAIRED, PLAN, PREPACKED, WHERE, WIDENED, Where, run_tile
from tinytorch.runtime import pool
from tinytorch.runtime.arrays import HALVES, DType
from tinytorch.runtime.building import lazy
from tinytorch.runtime.compile import device_function, entry_point, tile_function
from tinytorch.runtime.intrinsics import address_of, call_kernel, tuple_at

#: Multiply-adds up to which `launch_small` takes a product: one thread, B as it lies, no plan.
SMALL = 1 << 18
#: Numbers in B up to which it takes products of few rows: beyond, B is streamed (`ops.gemm`).
SMALL_B = 1 << 12


@device_function
def address(x):
    """Return where an array begins, as the signed integer that all of this counts in."""
    return np.int64(x.ctypes.data)


@device_function
def extent(x):
    """Return the first byte of an array and the one past its last."""
    low = high = address(x)
    for d in range(x.ndim):
        reach = (x.shape[d] - 1) * x.strides[d]
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + x.itemsize


@device_function
def aligned(x):
    """Say whether each number lies at a multiple of its size."""
    bits = address(x)
    for d in range(x.ndim):
        bits |= x.strides[d]
    return bits % x.itemsize == 0


@device_function
def suits(x, c):
    """Say whether an input is aligned and lies wholly before or after the result, or is empty."""
    low, high = extent(x)
    start, end = extent(c)
    return x.size == 0 or (aligned(x) and (high <= start or end <= low))


@device_function
def takes_rows(c):
    """Say whether the kernels can write a result: aligned, rows contiguous and apart from one another."""
    i, j = c.ndim - 2, c.ndim - 1
    apart = c.shape[i] <= 1 or abs(c.strides[i]) >= c.shape[j] * c.itemsize
    return aligned(c) and apart and (c.strides[j] == c.itemsize or c.shape[j] == 1)


def launch_small(sweep, edge, width, a, b, c):
    """C = A @ B for small matrices whose rows are contiguous; False if these are not."""
    rows, inner, columns, size = a.shape[0], a.shape[1], b.shape[1], c.itemsize
    work = rows * inner * columns
    if b.shape[0] != inner or c.shape[0] != rows or c.shape[1] != columns or work == 0:
        return False
    if work > SMALL or (rows <= 4 and inner * columns > SMALL_B):
        return False
    if a.strides[1] != size or b.strides[1] != size:
        return False
    if not (suits(a, c) and suits(b, c) and takes_rows(c)):
        return False
    right, out, step = address(b), address(c), width * size
    for j in range(0, columns, width):
        kernel = sweep if columns - j >= width else edge
        left = columns - j
        call_kernel(
            kernel,
            (rows, inner, left, address(a), a.strides[0], right, b.strides[0], 0, out, c.strides[0], 0, 0),
        )
        right += step
        out += step
    return True


@device_function
def fits(p, a, b, c):
    """Say whether a plan was made for matrices (or stacks of them) of these shapes and strides."""
    i, j = c.ndim - 2, c.ndim - 1
    if c.shape[i] != p.rows or c.shape[j] != p.columns or a.shape[i] != p.rows or a.shape[j] != p.inner:
        return False
    # Where there is one row or column, or none, its distance to the next may be anything.
    if p.rows > 1 and (a.strides[i] != p.a_row or c.strides[i] != p.c_row):
        return False
    if p.inner > 1 and a.strides[j] != p.a_column:
        return False
    if p.b_way in (PREPACKED, WIDENED, PAIRED):
        return True
    if b.shape[i] != p.inner or (p.inner > 1 and b.strides[i] != p.b_row):
        return False
    return p.columns <= 1 or b.strides[j] == p.b_column


def launch(pool_address, tile_address, plan_address, memory, flags, a, b, c):
    """Run a plan on matrices; False if it was not made for them, or they do not suit."""
    p = tuple_at(plan_address, PLAN)
    if not (fits(p, a, b, c) and suits(a, c) and suits(b, c) and takes_rows(c)):
        return False
    w = Where(address(a), address(b), address(c), 0, flags, memory, 0, 0)
    pool.launch(pool_address, p.threads, p.row_tiles * p.column_tiles, tile_address, address_of((p, w)))
    return True


def launch_biased(pool_address, tile_address, plan_address, memory, flags, a, b, c, bias):
    """`launch` with a bias."""
    p = tuple_at(plan_address, PLAN)
    if not (fits(p, a, b, c) and suits(a, c) and suits(b, c) and takes_rows(c)):
        return False
    if bias.size != p.columns or bias.strides[0] != bias.itemsize or not suits(bias, c):
        return False
    w = Where(address(a), address(b), address(c), address(bias), flags, memory, 0, 0)
    pool.launch(pool_address, p.threads, p.row_tiles * p.column_tiles, tile_address, address_of((p, w)))
    return True


def launch_stacks(pool_address, tile_address, plan_address, memory, flags, a, b, c, a_index, b_index):
    """`launch` for stacks of matrices and which of them each product takes."""
    p = tuple_at(plan_address, PLAN)
    if not (fits(p, a, b, c) and suits(a, c) and suits(b, c) and takes_rows(c)):
        return False
    w = Where(address(a), address(b), address(c), 0, flags, memory, address(a_index), address(b_index))
    tiles = a_index.size * p.row_tiles * p.column_tiles
    pool.launch(pool_address, p.threads, tiles, tile_address, address_of((p, w)))
    return True


class Launcher:
    """The launches for one dtype, compiled as they are asked for. Who calls them answers for the types."""

    def __init__(self, dtype: DType, left: DType, right: DType) -> None:
        bits = (np.dtype(np.uint16) if given in HALVES else given for given in (left, right))
        self._number = numba.from_dtype(dtype)
        self._left, self._right = map(numba.from_dtype, bits)

    def _entry(self, function: Any, integers: int, dimensions: int, last: tuple[Any, ...] = ()) -> Any:
        numbers = self._left, self._right, self._number
        arrays = [types.Array(number, dimensions, "A") for number in numbers]
        return entry_point(types.boolean(*(types.int64,) * integers, *arrays, *last), function)

    @lazy
    def small(self) -> Any:
        """`launch_small`."""
        return self._entry(launch_small, 3, 2)

    @lazy
    def matrices(self) -> Any:
        """`launch`."""
        return self._entry(launch, 5, 2)

    @lazy
    def biased(self) -> Any:
        """`launch_biased`."""
        return self._entry(launch_biased, 5, 2, (types.Array(self._number, 1, "A"),))

    @lazy
    def stacks(self) -> Any:
        """`launch_stacks`."""
        return self._entry(launch_stacks, 5, 3, (types.int64[::1], types.int64[::1]))


@functools.cache
def launcher(dtype: DType, left: DType, right: DType) -> Launcher:
    """Return the launches for a dtype, those of A and B (half types as the 16 bits they are) told apart."""
    return Launcher(dtype, left, right)


@functools.cache
def tile_address() -> int:
    """Return where the compiled `run_tile` is, one for all dtypes."""
    return tile_function(run_tile, types.Tuple((PLAN, WHERE)))
