"""Which way a product takes, and how it is cut: decided once for each combination of shapes and strides.

Small products and few rows go straight to a kernel that reads B as it lies; the others are cut into blocks
after the sizes of the caches (`ops.gemm`). Every path sums each element of C in an order that depends on
the shapes alone, so a result is bitwise the same on any number of threads.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from tinytorch.machine.info import caches
from tinytorch.ops.gemm import (
    BLOCKED,
    COLUMNS,
    DIRECT,
    DOTTED,
    LINE,
    OUTER,
    PREPACKED,
    ROWS,
    STREAMED,
    STRIDED,
    Plan,
)
from tinytorch.ops.launch import launcher, tile_callback
from tinytorch.runtime.arrays import DType
from tinytorch.runtime.threads import get_num_threads, on_change
from tinytorch.simd.build import Library, library
from tinytorch.simd.packing import packing_kernels
from tinytorch.simd.product import THIN_PANELS, UNROLL, product_kernels
from tinytorch.simd.target import chosen, tile

#: Multiply-adds below which a product stays on one thread: about 10 us of work, a wake-up's price.
SERIAL = 500_000
#: Rows up to which B is streamed rather than packed: packing costs about as much as a few rows of work.
#: 8 x 4096 x 4096: 40 GFLOP/s streamed against 27 packed by NumPy; at 16 rows both reach 45 (Zen 3).
STREAM_ROWS = 16
#: Rows up to which a B that nearly fits in L2 is read as it lies, without packing, if its rows begin at the
#: same place in a cache line (33 x 17 x 4095, where they do not: 45 GFLOP/s, packed 64).
DIRECT_ROWS = 96
#: Rows up to which A is read as it lies and packing B is what counts: a B from the caches is packed in
#: blocks that stay in L2 (3% at 128 x 384 x 384), one from memory in long rows (6% at 32 x 4096 x 4096).
FEW_ROWS = 128
#: Up to this depth a product is an outer one: it is the writing of C that counts, so C is written row by row.
OUTER_DEPTH = 4
#: Rows up to which columns of B that are contiguous are multiplied as they lie, by dot products.
DOT_ROWS = 3


class Strides(NamedTuple):
    """Bytes from one row, column and matrix of a stack to the next."""

    row: int
    column: int
    item: int = 0


class Prepared:
    """A plan as compiled code reads it, and what a launch needs beside it."""

    __slots__ = ("address", "at_once", "scratch", "threads", "tile", "words")

    def __init__(self, plan: Plan, dtype: DType) -> None:
        self.words = np.array(plan, np.int64)
        self.address: int = self.words.ctypes.data
        self.tile: int = tile_callback().address  # of the compiled function of one tile
        self.threads = plan.threads
        self.scratch = plan.scratch * plan.threads  # bytes
        #: `at_once(a, b, c)` runs it where neither threads nor memory are needed.
        self.at_once: Callable[..., bool] | None = None
        if self.threads == 1 and not self.scratch:
            self.at_once = partial(launcher(dtype).matrices, 0, self.tile, self.address, 0, 0)


@functools.cache
def cache_bytes() -> tuple[int, int, int]:
    """Return the sizes of L1, L2 and L3; where the system does not tell, what small CPUs have."""
    sizes = caches()
    return sizes["l1"] or 32 << 10, sizes["l2"] or 256 << 10, sizes["l3"] or 2 << 20


def _way(strides: Strides, size: int) -> int:
    if strides.column == size:
        return ROWS
    return COLUMNS if strides.row == size else STRIDED


def kernels(dtype: DType) -> tuple[Library, Library]:
    """Return the kernels for a dtype, built if this is the first time."""
    return library(product_kernels, dtype), library(packing_kernels, dtype)


@functools.lru_cache(maxsize=4096)
def prepare(
    dtype: DType,
    matrix: tuple[int, int],
    columns: int,
    a: tuple[int, ...],
    b: tuple[int, ...] | None,  # None: packed ahead
    c: tuple[int, ...],
    batch: int = 1,
    threads: int | None = None,
) -> Prepared:
    """Decide how to multiply a matrix of this shape by one of so many columns, `batch` times."""
    rows, inner = matrix
    a, b, c = Strides(*a), None if b is None else Strides(*b), Strides(*c)
    size = dtype.itemsize
    MR, NR = tile(chosen(), dtype)
    lanes = chosen().lanes(dtype)
    _, l2, l3 = cache_bytes()
    a_way = _way(a, size)
    b_way = PREPACKED if b is None else _way(b, size)
    if columns == 1 and b is not None and b.row == size:
        b_way = COLUMNS  # a vector: it is both
    b_bytes = inner * columns * size
    path = BLOCKED
    streams = STREAM_ROWS if b_bytes <= l3 else STREAM_ROWS * 3 // 4
    if b_way == ROWS and a_way == ROWS and columns >= NR and 0 < inner:
        path = OUTER if inner <= OUTER_DEPTH else STREAMED if rows <= streams else BLOCKED
    elif (b_way == COLUMNS and a_way == ROWS and rows <= DOT_ROWS and inner >= lanes) or (
        b_way != PREPACKED and a_way == ROWS and columns <= lanes // 2 and inner >= lanes
    ):
        path = DOTTED
    MC, KC, NC = _blocks(rows, inner, MR, NR, size)
    if path == BLOCKED:
        if b_way == ROWS and rows <= DIRECT_ROWS and b_bytes <= l2 * 5 // 4 and b.row % LINE == 0:
            b_way = DIRECT
        if a_way == ROWS and (rows <= FEW_ROWS or columns <= 256 or rows * inner * size <= 2 * l2):
            a_way = DIRECT
        if rows <= FEW_ROWS and b_way != PREPACKED:
            room = l2 * 3 // 8 if b_bytes <= l3 // 8 else l3 // 4
            NC = max(1, room // (KC * size) // NR) * NR
    elif path == STREAMED:
        a_way = DIRECT if rows <= 4 else ROWS
    elif path == OUTER:
        a_way = DIRECT
    else:
        a_way = DIRECT
        b_way = DIRECT if b_way == COLUMNS else STRIDED
    work = batch * rows * inner * columns
    limit = get_num_threads() if threads is None else threads
    if work < SERIAL:
        limit = 1
    tile_rows, tile_columns = _cut(rows, columns, limit, work, batch, path, MR, NR, size)
    row_tiles, column_tiles = -(-rows // tile_rows), -(-columns // tile_columns)
    tiles = batch * row_tiles * column_tiles
    limit = max(1, min(limit, tiles))
    NC = -(-tile_columns // -(-tile_columns // NC))
    NC = -(-NC // NR) * NR
    # Scratch memory of a thread: a block of B, a block of A, sums.
    b_memory = a_memory = c_memory = 0
    a_rows = -(-(inner if path == STREAMED else KC) // lanes) * lanes * size + lanes * size
    if path == BLOCKED:
        if b_way not in (DIRECT, PREPACKED):
            b_memory = NC // NR * (KC * NR * size + LINE)
        if a_way != DIRECT:
            a_memory = min(MC, tile_rows) * a_rows
    elif path == STREAMED:
        if a_way != DIRECT:
            a_memory = rows * a_rows
        apart = rows == 1 or (rows <= 4 and c.row % 4096)
        c_memory = 0 if apart else rows * (-(-tile_columns // lanes) + 1) * lanes * size
    elif path == DOTTED and b_way != DIRECT:
        b_memory = tile_columns * (-(-inner // lanes) * lanes + lanes) * size
    b_memory, a_memory, c_memory = (-(-x // LINE) * LINE for x in (b_memory, a_memory, c_memory))
    scratch = b_memory + a_memory + c_memory
    code, pack = kernels(dtype)
    single = rows == 1 or path == OUTER
    group = THIN_PANELS.get(rows, 1) if b_way == PREPACKED else 1
    right = Strides(NR * size, size) if b is None else b
    plan = Plan(
        path=path, rows=rows, inner=inner, columns=columns, size=size,
        a_row=a.row, a_column=a.column, b_row=right.row, b_column=right.column, c_row=c.row,
        a_item=a.item, b_item=right.item, c_item=c.item,
        tile_rows=tile_rows, tile_columns=tile_columns, row_tiles=row_tiles, column_tiles=column_tiles,
        threads=limit, MC=MC, KC=KC, NC=NC, NR=NR, lanes=lanes, a_way=a_way, b_way=b_way,
        b_panel=inner * NR * size, group=group,
        scratch=scratch, a_memory=b_memory, c_memory=b_memory + a_memory if c_memory else -1,
        sweep=code["direct" if b_way == DIRECT else "packed"],
        edge=code["direct_edge" if b_way == DIRECT else "packed_edge"],
        thin=code[f"thin{rows}"] if group > 1 else 0,
        stream=code["axpy4" if single else "stream4"], stream_one=code["axpy1" if single else "stream1"],
        dots=code["dots"], finish=code["finish"],
        pack_panels=pack["panels"], pack_rows=pack["rows"],
        pack_transposed=pack["transposed"], pack_strided=pack["strided"],
    )  # fmt: skip
    return Prepared(plan, dtype)


@functools.lru_cache(maxsize=4096)
def prepare_contiguous(dtype: DType, matrix: tuple[int, int], columns: int) -> Prepared:
    """`prepare` for three arrays in C order: a shorter question, which is sooner answered."""
    size = dtype.itemsize
    a, b = (matrix[1] * size, size), (columns * size, size)
    return prepare(dtype, matrix, columns, a, b, b)


@functools.lru_cache(maxsize=4096)
def prepare_packed(dtype: DType, matrix: tuple[int, int], columns: int) -> Prepared:
    """The same for a right side that was packed ahead."""
    size = dtype.itemsize
    return prepare(dtype, matrix, columns, (matrix[1] * size, size), None, (columns * size, size))


on_change(prepare.cache_clear)
on_change(prepare_packed.cache_clear)
on_change(prepare_contiguous.cache_clear)


def _blocks(rows: int, inner: int, MR: int, NR: int, size: int) -> tuple[int, int, int]:
    """Return MC, KC and NC, the cache blocks, for a register tile and numbers of `size` bytes.

    A panel of B (KC x NR) fills three quarters of L1, the block of A (MC x KC) a quarter of L2, the block of
    B (KC x NC) a sixteenth of L3. On a Zen 3 (32 KB, 512 KB, 32 MB) halves of L1 and L2 and an eighth of L3
    cost 2 to 4% at 1024 to 4096. Where a panel is wide (AVX-512: 256 bytes), B comes from L2 in any case, and
    what counts is that C is read and written seldom: KC = 512.
    """
    l1, l2, l3 = cache_bytes()
    KC = l1 * 3 // 4 // (NR * size)
    if KC < 192:
        KC = 512
    MC = max(1, l2 // 4 // (KC * size) // MR) * MR
    NC = max(1, l3 // 16 // (KC * size) // NR) * NR
    # Blocks of equal size: the last must not be a sliver.
    KC = -(-inner // -(-inner // KC)) if inner else KC
    KC = min(max(inner, 1), -(-KC // UNROLL) * UNROLL)
    MC = -(-rows // -(-rows // MC)) if rows else MC
    return -(-MC // MR) * MR, KC, NC


def _cut(
    rows: int, columns: int, threads: int, work: int, batch: int, path: int, MR: int, NR: int, size: int
) -> tuple[int, int]:
    """Return the rows and columns of a tile, the part of C that one thread does at a time."""
    rows, columns = max(rows, 1), max(columns, 1)
    # Several tiles a thread even out a slow thread, but each reads all of A: only where tiles stay large.
    wanted = threads * (1 if work < 1 << 25 else 2)
    wanted = -(-wanted // batch)
    if path == STREAMED:  # the sums come and go: they stay in a quarter of L2
        wanted = max(wanted, -(-rows * columns * size // (cache_bytes()[1] // 4)))
    if wanted <= 1:
        return rows, columns
    if (path == BLOCKED and rows >= 4 * columns) or (path == DOTTED and rows > columns):
        height = -(-rows // wanted)
        return -(-height // MR) * MR, columns
    panels = -(-columns // NR)
    width = -(-panels // wanted) * NR
    columns_cut = -(-columns // width)
    if columns_cut >= threads or path == STREAMED:
        return rows, width
    height = -(-rows // -(-wanted // columns_cut))
    return -(-height // MR) * MR, width
