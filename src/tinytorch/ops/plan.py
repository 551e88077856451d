"""Which way a product takes, and how it is cut: decided once for each combination of shapes and strides.

Small products and few rows go straight to a kernel that reads B as it lies; the others are cut into blocks
after the sizes of the caches (`ops.gemm`). Every path sums each element of C in an order that depends on
shapes, strides and the machine, and never on the number of threads: results are bitwise the same on any.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from tinytorch.machine.info import caches
from tinytorch.ops.gemm import (
    BLOCKED,
    COLUMNS,
    DIRECT,
    DOTTED,
    OUTER,
    PAIRED,
    PREPACKED,
    ROWS,
    STREAMED,
    STRIDED,
    WIDENED,
    Plan,
    panel_bytes,
    row_bytes,
)
from tinytorch.ops.launch import launcher, tile_address
from tinytorch.runtime.arrays import FLOAT32, LINE, DType
from tinytorch.runtime.threads import MAX_THREADS
from tinytorch.simd.build import Library, library
from tinytorch.simd.packing import packing_kernels
from tinytorch.simd.product import (
    AXPY_DEPTH,
    SHORT_DEPTH,
    STREAM_DEPTH,
    UNROLL,
    pairs_up,
    product_kernels,
    thin_panels,
)
from tinytorch.simd.target import chosen, tile

#: Multiply-adds below which a product stays on one thread: about 10 us of work, a wake-up's price.
SERIAL = 500_000
#: Rows up to which B is streamed rather than packed: packing costs about as much as a few rows of work.
#: 8 x 4096 x 4096: 1.6 times NumPy's speed streamed and 0.85 packed, 16 rows 1.2 and 0.85, 24 alike (Zen 3).
STREAM_ROWS = 16
#: Rows up to which streaming waits for B, whose rows come soonest if they are long; more rows wait for their
#: sums, which stay in L1 if a tile is narrow. 16 x 384 x 1536 is 7 to 30% faster in tiles of 256 columns, on
#: one and two threads, 4 x 768 x 3072 10% slower (Zen 3).
LONG_ROWS = 8
#: Rows up to which a B that nearly fits in L2 is read as it lies, without packing, if its rows begin at the
#: same place in a cache line. Where they do not, only a quarter of that pays (33 x 17 x 1000: 69 GFLOP/s
#: against 62 packed, 33 x 17 x 4095 37 against 53), but for more rows (128 x 128 x 131: 79 against 77).
DIRECT_ROWS, UNEVEN_ROWS = 96, 256
#: Bytes of a row of a panel from which few rows, too, read a B that nearly fits in L2 as it lies: four lines
#: of each row of B come at once. 2 to 16 x 384 x 384 gain 30 to 80%, 1 x 256 x 256 40%, but one row loses 10
#: to 30% where B's are long (Emerald Rapids, AVX-512). Panels of one line (AVX2) were not tried.
WIDE = 256
#: Rows up to which A is read as it lies and packing B is what counts: a B from the caches is packed in
#: blocks that stay in L2 (3% at 128 x 384 x 384), one from memory in longer rows.
FEW_ROWS = 128
#: Rows up to which a B packed ahead is read in one straight line, without blocks along the sum, if A nearly
#: stays in L2: it comes from memory once, and that is what counts (128 x 768 x 3072 gains 6%).
FAR_ROWS = 128
#: Rows beyond which half types packed ahead are widened block by block, rather than for each use: widening in
#: the micro-kernel costs it a fifth of its speed (1024^3), and once a block costs what a row or two do.
WIDEN_ROWS = 16
#: Up to this depth a product is an outer one: it is the writing of C that counts, so C is written row by row.
OUTER_DEPTH = 4
#: Bytes of a row of B up to which one row of A takes the kernel for short ones, or reads panels: see `WIDE`.
SHORT_ROW = 4 << 10
#: Rows up to which columns of B that are contiguous are multiplied as they lie, by dot products.
DOT_ROWS = 3


class Strides(NamedTuple):
    """Bytes from one row, column and matrix of a stack to the next."""

    row: int
    column: int
    item: int = 0


class Prepared:
    """A plan as compiled code reads it, and what a launch needs beside it."""

    __slots__ = ("address", "at_once", "launcher", "scratch", "threads", "tile", "words")

    def __init__(self, plan: Plan, dtype: DType, left: DType, right: DType) -> None:
        self.words = np.array(plan, np.int64)
        self.address: int = self.words.ctypes.data
        self.tile = tile_address()
        self.launcher = launcher(dtype, left, right)
        self.threads = plan.threads
        self.scratch = plan.scratch * plan.threads  # bytes
        #: `at_once(a, b, c)` runs it where neither threads nor memory are needed.
        self.at_once: Callable[..., bool] | None = None
        if self.threads == 1 and not self.scratch:
            self.at_once = partial(self.launcher.matrices, 0, self.tile, self.address, 0, 0)


@functools.cache
def cache_bytes() -> tuple[int, int, int]:
    """Return the sizes of L1, L2 and L3; where the system does not tell, what small CPUs have."""
    sizes = caches()
    return sizes["l1"] or 32 << 10, sizes["l2"] or 256 << 10, sizes["l3"] or 2 << 20


def _way(strides: Strides, size: int) -> int:
    if strides.column == size:
        return ROWS
    return COLUMNS if strides.row == size else STRIDED


def kernels(dtype: DType, right: DType | None = None) -> Library:
    """Return the micro-kernels for A and C of a dtype and B of the same or a half type."""
    return library(product_kernels, dtype, right or dtype)


def packing(dtype: DType, given: DType | None = None, computed: DType | None = None) -> Library:
    """Return what packs to a dtype, from it or a half type, panels as products in `computed` need them."""
    return library(packing_kernels, dtype, given or dtype, tile(chosen(), computed or dtype)[1])


@functools.lru_cache(maxsize=4096)
def prepare(
    dtype: DType,
    matrix: tuple[int, int],
    columns: int,
    a: tuple[int, ...],
    b: tuple[int, ...] | None,
    c: tuple[int, ...],
    threads: int,
    batch: int = 1,
    right: DType | None = None,
    left: DType | None = None,
) -> Prepared:
    """Decide how to multiply a matrix of this shape by one of so many columns, `batch` times.

    `a`, `b` and `c` are the strides of the arrays; None for `b` says that it was packed ahead. `left` and
    `right` are the dtypes of A and B where they are narrower than `dtype`, that of C; both only if
    `in_pairs` says so.
    """
    p = Problem.of(
        *(dtype, left or dtype, right or dtype, matrix, columns, batch),
        *(Strides(*a), Strides(*b) if b else None, Strides(*c)),
    )
    path, a_way, b_way = _route(p)
    MC, KC, NC = _blocks(p, path, b_way)
    limit = 1 if p.work < SERIAL else min(threads, MAX_THREADS)
    tile_rows, tile_columns = _cut(p, path, limit)
    row_tiles, column_tiles = -(-p.rows // tile_rows), -(-columns // tile_columns)
    NC = -(-tile_columns // -(-tile_columns // NC))  # blocks of equal size: the last must not be a sliver
    NC = -(-NC // p.NR) * p.NR
    memory = _memory(p, path, a_way, b_way, tile_rows, tile_columns, MC, KC, NC)
    b_memory, pair_memory, a_memory, c_memory = (-(-size // LINE) * LINE for size in memory)
    # What is packed here is widened on the way; only what is read as it lies is widened for each use.
    as_it_is = p.paired or b_way in (DIRECT, PREPACKED)
    code = kernels(dtype, p.right if as_it_is else dtype)
    pack_a = packing(p.left, computed=dtype)
    pack_b = packing(p.left, p.right, dtype)
    stream, depth = _stream(p, path, tile_columns)
    group = thin_panels(chosen()).get(p.rows, 1) if b_way == PREPACKED else 1
    source = _source(p, b_way)
    plan = Plan(
        path=path, rows=p.rows, inner=p.inner, columns=columns, size=p.size,
        a_size=p.left.itemsize, b_size=p.right.itemsize,
        a_row=p.a.row, a_column=p.a.column, b_row=p.b.row, b_column=p.b.column, c_row=p.c.row,
        a_item=p.a.item, b_item=p.b.item, c_item=p.c.item,
        tile_rows=tile_rows, tile_columns=tile_columns, row_tiles=row_tiles, column_tiles=column_tiles,
        threads=max(1, min(limit, batch * row_tiles * column_tiles)),
        MC=MC, KC=KC, NC=NC, NR=p.NR, lanes=p.lanes,
        a_way=a_way, b_way=b_way, b_panel=p.inner * p.NR * p.right.itemsize, b_line=p.NR * p.packed_size,
        group=group,
        scratch=b_memory + pair_memory + a_memory + c_memory,
        pair_memory=b_memory, a_memory=b_memory + pair_memory,
        c_memory=b_memory + pair_memory + a_memory if c_memory else -1,
        sweep=code[source], edge=code[f"{source}_edge"], thin=code[f"thin{p.rows}"] if group > 1 else 0,
        depth=depth, stream=code[stream], stream_one=code[f"{stream.removesuffix('_short')}_one"],
        dots=code["dots"], finish=code["finish"],
        pack_panels=pack_b["pairs" if p.paired else "panels"], pair_up=pack_b["pairs"] if p.paired else 0,
        pack_b_transposed=pack_b["transposed"], pack_b_strided=pack_b["strided"],
        widen=pack_b["rows"], pack_rows=pack_a["rows"],
        pack_a_transposed=pack_a["transposed"], pack_a_strided=pack_a["strided"],
    )  # fmt: skip
    return Prepared(plan, dtype, p.left, p.right)


@functools.lru_cache(maxsize=4096)
def prepare_contiguous(dtype: DType, matrix: tuple[int, int], columns: int, threads: int) -> Prepared:
    """`prepare` for three arrays in C order: a shorter question, which is sooner answered."""
    size = dtype.itemsize
    a, b = (matrix[1] * size, size), (columns * size, size)
    return prepare(dtype, matrix, columns, a, b, b, threads)


@functools.lru_cache(maxsize=4096)
def prepare_packed(
    dtype: DType,
    matrix: tuple[int, int],
    columns: int,
    threads: int,
    right: DType | None = None,
    left: DType | None = None,
) -> Prepared:
    """The same for a right side that was packed ahead."""
    size, a_size = dtype.itemsize, (left or dtype).itemsize
    a, c = (matrix[1] * a_size, a_size), (columns * size, size)
    return prepare(dtype, matrix, columns, a, None, c, threads, right=right, left=left)


def in_pairs(computed: DType, left: DType, right: DType, rows: int) -> bool:
    """Say whether operands are taken as they are, and multiplied in pairs along the sum, rather than widened.

    With few rows it is the reading of B that counts.
    """
    return computed == FLOAT32 and left == right and rows > WIDEN_ROWS and pairs_up(chosen(), right)


@dataclass(frozen=True)
class Problem:
    """What a plan is made for, and the register tile it is made with."""

    rows: int
    inner: int
    columns: int
    batch: int
    size: int  # bytes of a number of C
    left: DType  # of A
    right: DType  # of B
    paired: bool  # A and B are multiplied in pairs along the sum
    a: Strides
    b: Strides
    c: Strides
    packed: bool  # B was packed ahead
    MR: int
    NR: int
    lanes: int

    @classmethod
    def of(
        cls,
        dtype: DType,
        left: DType,
        right: DType,
        matrix: tuple[int, int],
        columns: int,
        batch: int,
        a: Strides,
        b: Strides | None,
        c: Strides,
    ) -> "Problem":
        """Add what follows from the dtype."""
        MR, NR = tile(chosen(), dtype)
        size = dtype.itemsize
        packed, b = b is None, b or Strides(NR * right.itemsize, right.itemsize)
        shape, paired = (*matrix, columns, batch), left != dtype
        return cls(*shape, size, left, right, paired, a, b, c, packed, MR, NR, chosen().lanes(dtype))

    @property
    def work(self) -> int:
        """Multiply-adds of all products together."""
        return self.batch * self.rows * self.inner * self.columns

    @property
    def packed_size(self) -> int:
        """Bytes of a number of B, packed."""
        return self.right.itemsize if self.paired else self.size

    @property
    def b_bytes(self) -> int:
        """The size of one right side."""
        return self.inner * self.columns * self.right.itemsize


def _route(p: Problem) -> tuple[int, int, int]:
    """Return the path that a product takes, and how A and B come to the micro-kernels."""
    l2 = cache_bytes()[1]
    a_way = _way(p.a, p.left.itemsize)
    b_way = PREPACKED if p.packed else _way(p.b, p.right.itemsize)
    if p.paired:
        return BLOCKED, DIRECT if a_way == ROWS else a_way, PAIRED if p.packed else b_way
    if p.columns == 1 and p.b.row == p.right.itemsize and not p.packed:
        b_way = COLUMNS  # one column is a row as well
    rows, room = (DIRECT_ROWS, l2 * 5 // 4) if p.b.row % LINE == 0 else (UNEVEN_ROWS, l2 // 4)
    near = b_way == ROWS and p.rows <= rows and p.b_bytes <= room
    if a_way == ROWS and b_way == ROWS and p.columns >= p.NR and p.inner:
        if p.inner <= OUTER_DEPTH:
            return OUTER, DIRECT, DIRECT
        wide = p.NR * p.right.itemsize >= WIDE and (p.rows > 1 or p.columns * p.size <= SHORT_ROW)
        if p.rows <= STREAM_ROWS and not (near and wide):
            return STREAMED, DIRECT if p.rows == 1 else ROWS, DIRECT
    if a_way == ROWS and not p.packed and p.inner >= p.lanes:
        if b_way == COLUMNS and p.rows <= DOT_ROWS:
            return DOTTED, DIRECT, DIRECT
        if p.columns <= p.lanes // 2:
            return DOTTED, DIRECT, DIRECT if b_way == COLUMNS else STRIDED
    if near:
        b_way = DIRECT
    if b_way == PREPACKED and p.right.itemsize < p.size and p.rows > WIDEN_ROWS:
        b_way = WIDENED
    if a_way == ROWS and (p.rows <= FEW_ROWS or p.columns <= 256 or p.rows * p.inner * p.size <= 2 * l2):
        a_way = DIRECT
    return BLOCKED, a_way, b_way


def _straight(p: Problem, b_way: int) -> bool:
    """Say whether a B packed ahead is read from one end to the other."""
    return b_way == PREPACKED and p.rows <= FAR_ROWS and p.rows * p.inner * p.size <= 4 * cache_bytes()[1]


def _source(p: Problem, b_way: int) -> str:
    """Return the micro-kernel for whole tiles: see `simd.product.sweep`."""
    if p.paired:
        return "paired"
    if not _straight(p, b_way):
        return "direct" if b_way == DIRECT else "packed"
    if p.rows <= p.MR or p.b_bytes <= cache_bytes()[2] // 2:
        return "few"
    return "next_twice" if p.rows <= 2 * p.MR else "next"


def _stream(p: Problem, path: int, tile_columns: int) -> tuple[str, int]:
    """Return which kernel reads rows of B as they lie, and how many of them at a time."""
    if p.rows > 1 and path != OUTER:
        return "stream", STREAM_DEPTH
    if path == OUTER or tile_columns * p.right.itemsize <= SHORT_ROW:
        return "axpy_short", SHORT_DEPTH
    return "axpy", AXPY_DEPTH


def _blocks(p: Problem, path: int, b_way: int) -> tuple[int, int, int]:
    """Return MC, KC and NC, the cache blocks.

    A panel of B (KC x NR) fills three quarters of L1, the block of A (MC x KC) a quarter of L2, the block of
    B (KC x NC) a sixteenth of L3. On a Zen 3 (32 KB, 512 KB, 32 MB) halves of L1 and L2 and an eighth of L3
    cost 2 to 4% at 1024 to 4096.

    Where a panel is wide (AVX-512: 256 bytes), B comes from L2 in any case, and what counts is that C is read
    and written seldom: the panel fills an eighth of L2 and the block of A a half. On an Emerald Rapids (2 MB)
    that is KC = 1024, 1 to 6% faster than 512 with a quarter, and 256 costs 3 to 8%; on a Zen 4 (1 MB) 512.
    """
    l1, l2, l3 = cache_bytes()
    KC, of_l2 = l1 * 3 // 4 // (p.NR * p.packed_size), 4
    if KC < 192:
        KC, of_l2 = min(max(512, l2 // 8 // (p.NR * p.packed_size)), 1024), 2
    MC = max(1, l2 // of_l2 // (KC * p.left.itemsize) // p.MR) * p.MR
    if _straight(p, b_way):
        KC = max(p.inner, 1)
    room = l3 // 16
    if p.rows <= FEW_ROWS and p.b_bytes <= l3 // 8 and path == BLOCKED and b_way != PREPACKED:
        room = l2 * 3 // 8
    # Blocks of equal size: the last must not be a sliver.
    KC = -(-p.inner // -(-p.inner // KC)) if p.inner else KC
    KC = min(max(p.inner, 1), -(-KC // UNROLL) * UNROLL)
    MC = -(-p.rows // -(-p.rows // MC)) if p.rows else MC
    return -(-MC // p.MR) * p.MR, KC, max(1, room // (KC * p.packed_size) // p.NR) * p.NR


def _cut(p: Problem, path: int, threads: int) -> tuple[int, int]:
    """Return the rows and columns of a tile, the part of C that one thread does at a time."""
    rows, columns = max(p.rows, 1), max(p.columns, 1)
    # Several tiles a thread even out a slow thread, but each reads all of A: only where tiles stay large.
    wanted = -(-threads * (1 if p.work < 1 << 25 else 2) // p.batch)
    if path == STREAMED:  # the sums come and go
        l1, l2, _ = cache_bytes()
        room = l1 // 2 if rows > LONG_ROWS else l2 // 4
        wanted = -(-max(wanted, -(-rows * columns * p.size // room)) // threads) * threads
    if wanted <= 1:
        return rows, columns
    if (path == BLOCKED and rows >= 4 * columns) or (path in (OUTER, DOTTED) and rows >= columns):
        height = -(-rows // wanted)
        return -(-height // p.MR) * p.MR, columns
    panels = -(-columns // p.NR)
    width = -(-panels // wanted) * p.NR
    columns_cut = -(-columns // width)
    if columns_cut >= threads or path == STREAMED:
        return rows, width
    height = -(-rows // -(-wanted // columns_cut))
    return -(-height // p.MR) * p.MR, width


def _memory(
    p: Problem,
    path: int,
    a_way: int,
    b_way: int,
    tile_rows: int,
    tile_columns: int,
    MC: int,
    KC: int,
    NC: int,
) -> tuple[int, int, int, int]:
    """Return the bytes that a thread needs for a block of B, for a panel of it before its rows are paired, a
    block of A, and sums: see `ops.gemm`.
    """

    def row(count: int) -> int:
        return row_bytes.py_func(count, p.lanes, p.left.itemsize)

    b_memory = pair_memory = a_memory = c_memory = 0
    if path == BLOCKED:
        if b_way not in (DIRECT, PREPACKED):
            b_memory = NC // p.NR * panel_bytes.py_func(KC, p.NR * p.packed_size)
        if p.paired and b_way in (COLUMNS, STRIDED):
            pair_memory = KC * p.NR * p.packed_size
        if a_way != DIRECT:
            a_memory = min(MC, tile_rows) * row(KC)
    elif path == STREAMED:
        if a_way != DIRECT:
            a_memory = p.rows * row(p.inner)
        # A few rows are summed in place, unless they lie where the CPU takes a load for a store's, or threads
        # would share the cache lines where their tiles meet.
        if p.rows > 4 or (p.rows > 1 and p.c.row % 4096 == 0) or tile_columns < p.columns:
            c_memory = p.rows * row(tile_columns)
    elif path == DOTTED and b_way != DIRECT:
        b_memory = tile_columns * row(p.inner)
    return b_memory, pair_memory, a_memory, c_memory
