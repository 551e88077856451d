"""Products in int8 around the micro-kernels of `simd.integer`: planned once, launched in two passes.

The first pass brings the rows of A to codes, each row by itself; the second multiplies. Sums are not cut: a
panel is read from its first group to its last, so that int32 totals stay in registers, become floats there,
and no integer is ever stored. What is cut are rows, so that codes stay in L2, and columns, so that panels
that come from memory are used by all rows while they are near.
"""

import functools
from collections import namedtuple
from typing import Any

import numba
import numpy as np
from numba import types

from tinytorch.ops.epilogue import finish_rows
from tinytorch.ops.gemm import APART
from tinytorch.ops.launch import address, suits, takes_rows
from tinytorch.ops.packed import LONGEST_PART, PackedIntegers, Part
from tinytorch.ops.plan import cache_bytes
from tinytorch.runtime import pool
from tinytorch.runtime.arrays import INT8, INT32, INT64, LINE, Array, DType, contiguous, empty, or_empty
from tinytorch.runtime.compile import device_function, entry_point, tile_function
from tinytorch.runtime.intrinsics import address_of, call_kernel, tuple_at
from tinytorch.runtime.scratch import scratch_address
from tinytorch.runtime.threads import MAX_THREADS, get_num_threads
from tinytorch.simd.activation import NONE
from tinytorch.simd.build import library
from tinytorch.simd.integer import code_dtype, integer_kernels
from tinytorch.simd.product import ACTIVATION_SHIFT
from tinytorch.simd.target import chosen, tile

#: Multiply-adds below which a product stays on one thread, and numbers of A below which their codes are made
#: on one: about 10 us of work, a wake-up's price.
SERIAL, SERIAL_CODES = 1_000_000, 50_000
_NO_FACTORS, _NO_BIAS = np.empty(0), np.empty(0, np.int32)

Plan = namedtuple(
    "Plan",
    "rows inner columns groups x_size x_row c_size c_row codes_row NR panel MC NC "
    "tile_rows tile_columns row_tiles column_tiles threads code_rows code_tiles code_threads "
    "is_codes make_codes sweep edge",
)
#: Addresses of a call, whether its sums are shifted, and what to do at the end.
Where = namedtuple("Where", "x panels c factors sums bias scales shifts shifted codes zero_point flags")
PLAN = types.NamedUniTuple(types.int64, len(Plan._fields), Plan)
WHERE = types.NamedUniTuple(types.int64, len(Where._fields), Where)
#: What a launch says: done; the arrays want a closer look; a row holds NaN or infinity, nothing is written.
DONE, UNFIT, NOT_FINITE = range(3)


class Prepared:
    """A plan as compiled code reads it, and what a launch needs beside it."""

    __slots__ = ("address", "launch", "offset", "scratch", "threads", "tiles", "words")

    def __init__(self, plan: Plan, given: DType, result: DType) -> None:
        self.words = np.array(plan, np.int64)
        self.address: int = self.words.ctypes.data
        self.launch = _launcher(given, result)
        self.tiles = _tile(make_codes), _tile(multiply)
        self.offset = chosen().offset
        self.threads = max(plan.threads, plan.code_threads)
        self.scratch = plan.rows * plan.codes_row


@functools.lru_cache(maxsize=1024)
def prepare(
    given: DType, result: DType, matrix: tuple[int, int], columns: int, threads: int, static: bool = False
) -> Prepared:
    """Decide how to multiply a matrix of this shape by a packed one: A is `given` as int8 or floats.

    `static`: the scales of floats are given, too.
    """
    (rows, inner), target = matrix, chosen()
    _, l2, l3 = cache_bytes()
    MR, NR = tile(target, INT32)
    groups = -(-inner // target.group)
    kernels = library(integer_kernels, result)
    if given == INT8:
        make_codes = library(integer_kernels, INT32)["rows"]
    else:
        make_codes = library(integer_kernels, given)["static" if static else "dynamic"]
    codes_row = -(-groups * target.group * code_dtype(target).itemsize // LINE) * LINE + APART
    limit = min(threads, MAX_THREADS)
    wanted = 1 if rows * inner * columns < SERIAL else limit
    tile_rows, tile_columns = max(rows, 1), max(columns, 1)
    if wanted > 1:
        panels = -(-columns // NR)
        tile_columns = -(-panels // wanted) * NR
        if columns <= tile_columns * (wanted - 1) or rows >= 4 * columns:  # too few panels for all
            tile_columns = columns
            height = -(-rows // wanted)
            tile_rows = -(-height // MR) * MR
    source = "few" if rows <= MR else "sweep"
    code_threads = 1 if given == INT8 or rows * inner < SERIAL_CODES else limit
    code_rows = -(-max(rows, 1) // code_threads)
    row_tiles, column_tiles = -(-rows // tile_rows), -(-columns // tile_columns)
    plan = Plan(
        rows=rows, inner=inner, columns=columns, groups=groups,
        x_size=given.itemsize, x_row=inner * given.itemsize, c_size=result.itemsize,
        c_row=columns * result.itemsize, codes_row=codes_row, NR=NR,
        panel=groups * target.group * NR,
        MC=max(1, l2 // 2 // codes_row // MR) * MR,
        NC=max(1, l3 // 16 // (max(groups, 1) * target.group * NR)) * NR,
        tile_rows=tile_rows, tile_columns=tile_columns, row_tiles=row_tiles, column_tiles=column_tiles,
        threads=max(1, min(limit, row_tiles * column_tiles)) if wanted > 1 else 1,
        code_rows=code_rows, code_tiles=-(-rows // code_rows), code_threads=code_threads,
        is_codes=int(given == INT8), make_codes=make_codes,
        sweep=kernels[source], edge=kernels[f"{source}_edge"],
    )  # fmt: skip
    return Prepared(plan, given, result)


def make_codes(tile, thread, p, w):
    """Bring some rows of A to codes, with their scales and shifts."""
    i = tile * p.code_rows
    rows = min(p.code_rows, p.rows - i)
    x, codes = w.x + i * p.x_row, w.codes + i * p.codes_row
    if p.is_codes != 0:
        call_kernel(p.make_codes, (rows, p.inner, x, p.x_row, codes, p.codes_row))
    else:
        scales, shifts = w.scales + 8 * i, w.shifts + 4 * i
        call_kernel(
            p.make_codes, (rows, p.inner, x, p.x_row, codes, p.codes_row, scales, shifts, w.zero_point)
        )


def multiply(tile, thread, p, w):
    """Compute one tile of C."""
    i0, j0 = (tile % p.row_tiles) * p.tile_rows, (tile // p.row_tiles) * p.tile_columns
    i1, j1 = min(i0 + p.tile_rows, p.rows), min(j0 + p.tile_columns, p.columns)
    for n in range(j0, j1, p.NC):
        for i in range(i0, i1, p.MC):
            rows = min(p.MC, i1 - i)
            codes, scales = w.codes + i * p.codes_row, w.scales + 8 * i
            shifts = w.shifts + 4 * i if w.shifted != 0 else 0
            for j in range(n, min(n + p.NC, j1), p.NR):
                kernel = p.sweep if p.columns - j >= p.NR else p.edge
                b, out = w.panels + j // p.NR * p.panel, w.c + i * p.c_row + j * p.c_size
                factors, sums = w.factors + 8 * j, w.sums + 4 * j
                bias = w.bias + j * p.c_size if w.bias != 0 else 0
                call_kernel(
                    kernel,
                    (
                        rows, p.groups, p.columns - j, codes, p.codes_row, b, out, p.c_row,
                        scales, factors, shifts, sums, bias, w.flags,
                    ),
                )  # fmt: skip


@device_function
def finite(scales):
    """Say whether no row was found to hold NaN or infinity."""
    total = 0.0
    for i in range(scales.size):
        total += scales[i] * 0.0
    return total == 0.0


def launch(
    pool_address, codes_tile, tile, plan, memory, shifted, zero_point, flags,
    x, panels, factors, sums, scales, shifts, c, bias,
):  # fmt: skip
    """Run a plan; `bias` may be empty."""
    p = tuple_at(plan, PLAN)
    if x.shape[0] != p.rows or x.shape[1] != p.inner or c.shape[0] != p.rows or c.shape[1] != p.columns:
        return UNFIT
    if not (takes_rows(c) and suits(x, c)) or (p.rows > 1 and c.strides[0] != p.c_row):
        return UNFIT
    if (p.rows > 1 and p.inner > 0 and x.strides[0] != p.x_row) or (p.inner > 1 and x.strides[1] != p.x_size):
        return UNFIT
    if bias.size != 0 and (bias.size != p.columns or bias.strides[0] != p.c_size or not suits(bias, c)):
        return UNFIT
    offsets = address(bias) if bias.size != 0 else 0
    w = Where(
        address(x), address(panels), address(c), address(factors), address(sums), offsets,
        address(scales), address(shifts), shifted, memory, zero_point, flags,
    )  # fmt: skip
    pool.launch(pool_address, p.code_threads, p.code_tiles, codes_tile, address_of((p, w)))
    if p.is_codes == 0 and not finite(scales):
        return NOT_FINITE
    pool.launch(pool_address, p.threads, p.row_tiles * p.column_tiles, tile, address_of((p, w)))
    return DONE


@functools.cache
def _tile(body: Any) -> int:
    return tile_function(body, types.Tuple((PLAN, WHERE)))


@functools.cache
def _launcher(given: DType, result: DType) -> Any:
    x, c = (types.Array(numba.from_dtype(dtype), 2, "A") for dtype in (given, result))
    bias = types.Array(numba.from_dtype(result), 1, "A")
    vectors = (types.float64[::1], types.int32[::1])
    arrays = (x, types.int8[:, ::1], *vectors, *vectors, c, bias)
    return entry_point(types.int64(*(types.int64,) * 8, *arrays), launch)


def run(
    prepared: Prepared,
    x: Array,
    weight: Part,
    factors: Array,
    c: Array,
    bias: Array,
    activation: int = NONE,
    scales: Array | None = None,
    shifts: Array | None = None,
    zero_point: int = 0,
) -> int:
    """Run a plan: DONE, UNFIT or NOT_FINITE. `factors` (float64) are those of the columns, `padded`.

    `scales` (float64) are those of the rows, where they are known, and the call's own: those of rows that are
    not finite become NaN. `shifts` (int32) are known too, for codes. A `zero_point` other than 0 of floats
    with a scale is theirs; without, it asks for one for each row.
    """
    workers = pool.current()
    if prepared.threads > 1:
        workers.ready(prepared.threads)
    rows = len(x)
    undo = zero_point != 0 or prepared.offset != 0
    shifted = shifts is not None if x.dtype == INT8 else undo
    return int(
        prepared.launch(
            *(workers.address, *prepared.tiles, prepared.address),
            *(scratch_address(prepared.scratch), shifted, zero_point, activation << ACTIVATION_SHIFT),
            *(x, weight.panels, factors, weight.sums),
            np.empty(rows) if scales is None else scales,
            np.empty(rows, np.int32) if shifts is None else shifts,
            *(c, bias),
        )
    )


def shifts_of_codes(rows: int, zero_point: int = 0) -> Array | None:
    """Return what undoes a zero point of int8 codes, and the target's offset; None if there is neither."""
    shift = -zero_point - chosen().offset
    return np.full(rows, shift, np.int32) if shift else None


def integer_product(codes: Array, weight: PackedIntegers, zero_point: int, out: Array) -> None:
    """Write (codes - zero_point) @ weight, of int8 codes (M, K), to `out`: int32, or int64 for a long K."""
    if not out.size:
        return
    if len(weight.parts) == 1:
        _part_product(codes, weight.parts[0], zero_point, out)
        return
    some = empty(out.shape, INT32)
    out[...] = 0
    for k, part in zip(range(0, codes.shape[1], LONGEST_PART), weight.parts, strict=True):
        _part_product(codes[:, k : k + LONGEST_PART], part, zero_point, some)
        out += some


def run_codes(codes: Array, part: Part, zero_point: int, out: Array) -> int:
    """Write (codes - zero_point) @ part to `out`, int32: DONE or UNFIT."""
    prepared = prepare(INT8, INT32, codes.shape, part.columns, get_num_threads())
    shifts = shifts_of_codes(len(codes), zero_point)
    return run(prepared, codes, part, _NO_FACTORS, out, _NO_BIAS, shifts=shifts)


def _part_product(codes: Array, part: Part, zero_point: int, out: Array) -> None:
    done = run_codes(contiguous(codes, INT8), part, zero_point, out)
    assert done == DONE


def scaled_product(
    codes: Array,
    scales: Array,
    weight: PackedIntegers,
    factors: Array,
    bias: Array,
    activation: int,
    out: Array,
    zero_point: int = 0,
) -> None:
    """Write activation(scales * factors * ((codes - zero_point) @ weight) + bias) to `out`, a float array.

    `codes` (M, K) int8; `scales` (M,) and `factors` (N,) float64; `bias` (N,) may be empty.
    """
    if not out.size:
        return
    if len(weight.parts) == 1:
        prepared = prepare(INT8, out.dtype, codes.shape, out.shape[1], get_num_threads())
        shifts = shifts_of_codes(len(codes), zero_point)
        rest = out, bias, activation, scales, shifts
        done = run(prepared, contiguous(codes, INT8), weight.parts[0], padded(factors), *rest)
        assert done == DONE
        return
    exact = empty(out.shape, INT64)
    integer_product(codes, weight, zero_point, exact)
    total = exact * scales[:, None] * factors
    out[...] = total + bias.astype(np.float64) if bias.size else total
    if activation != NONE:
        none = or_empty(None, out.dtype)
        finish_rows(out, none, none, activation)


def padded(factors: Array) -> Array:
    """Return one number for each column, and zeros for those that fill up the last panel."""
    width = tile(chosen(), INT32)[1]
    result = np.zeros(-(-factors.size // width) * width)
    result[: factors.size] = factors
    return result
