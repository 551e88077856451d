"""The loops around the micro-kernel: how a product is cut so that each number comes from a near cache.

The five loops of a fast product (K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix
Multiplication", 2008), outermost first: blocks of NC columns; blocks of KC along the sum, where a block of B
is packed into panels; blocks of MC rows, where a block of A is packed and stays in L2; the panels of the
block of B, each of which stays in L1; and, in the micro-kernel, the rows. What is here is only their order:
it knows addresses and bytes, no dtype and no instruction set, and is compiled once for all.
"""

from collections import namedtuple

from numba import types

from tinytorch.runtime.arrays import LINE
from tinytorch.runtime.compile import device_function
from tinytorch.runtime.intrinsics import call_kernel, load
from tinytorch.simd.product import ACCUMULATE, DOT_COLUMNS

#: Which loops a product takes: see `ops.plan`.
BLOCKED, STREAMED, OUTER, DOTTED = range(4)
#: How an operand comes to the micro-kernel: as it lies, packed ahead, packed ahead in a half type and widened
#: or paired up here, or packed here from rows that are contiguous, columns that are, or neither.
DIRECT, PREPACKED, WIDENED, PAIRED, ROWS, COLUMNS, STRIDED = range(7)

#: All that follows from shapes and strides: distances in bytes, `*_item` from one matrix of a stack to the
#: next; then the blocks, the way of each operand, offsets in the scratch memory, addresses of kernels.
Plan = namedtuple(
    "Plan",
    "path rows inner columns size a_size b_size a_row a_column b_row b_column c_row a_item b_item c_item "
    "tile_rows tile_columns row_tiles column_tiles threads "
    "MC KC NC NR lanes a_way b_way b_panel b_line group "
    "scratch a_memory c_memory pair_memory "
    "depth sweep edge thin stream stream_one dots finish "
    "pack_panels pack_b_transposed pack_b_strided widen pair_up pack_rows pack_a_transposed pack_a_strided",
)
#: What changes from call to call: addresses, and what to do at the end.
Where = namedtuple("Where", "a b c bias flags memory a_index b_index")

#: Bytes between two packed rows. Their length may be a multiple of 4096, and of two addresses that differ by
#: such a multiple the CPU takes a load from one for a load of what is being stored to the other, and waits.
#: `stream` moves two vectors at a time, so one between the rows is not enough: 4 x 4096 x 4096 then takes
#: half as long again, 4 x 768 x 3072 twice as long (Zen 3).
APART = 2 * LINE

PLAN = types.NamedUniTuple(types.int64, len(Plan._fields), Plan)
WHERE = types.NamedUniTuple(types.int64, len(Where._fields), Where)


@device_function
def panel_bytes(depth, line):
    """Bytes from one packed panel to the next; a line more than it needs, lest all begin in one cache set."""
    return (depth + depth % 2) * line + LINE


@device_function
def row_bytes(count, lanes, size):
    """Bytes from one packed row of A, or row of sums, to the next: whole vectors, and `APART`."""
    return -(-count // lanes) * lanes * size + APART


@device_function
def pack_b(p, source, depth, columns, memory):
    """Pack a block of B, depth x columns, into panels."""
    target, panel = memory, panel_bytes(depth, p.b_line)
    if p.b_way == ROWS:
        call_kernel(p.pack_panels, (depth, columns, source, p.b_row, target, panel))
        return
    for j in range(0, columns, p.NR):
        count, corner = min(p.NR, columns - j), source + j * p.b_column
        place = target if p.pair_up == 0 else memory + p.pair_memory
        if p.b_way == COLUMNS:
            groups = p.NR // p.lanes
            call_kernel(p.pack_b_transposed, (groups, count, depth, corner, p.b_column, place, p.b_line))
        else:
            call_kernel(p.pack_b_strided, (depth, count, corner, p.b_row, p.b_column, place, p.b_line, p.NR))
        if p.pair_up != 0:
            call_kernel(p.pair_up, (depth, p.NR, place, p.b_line, target, panel))
        target += panel


@device_function
def pack_a(p, source, rows, depth, target):
    """Copy a block of A, rows x depth, to compact rows."""
    line = row_bytes(depth, p.lanes, p.a_size)
    if p.a_way == ROWS:
        call_kernel(p.pack_rows, (rows, depth, source, p.a_row, target, line))
    elif p.a_way == COLUMNS:
        groups = -(-depth // p.lanes)
        call_kernel(p.pack_a_transposed, (groups, depth, rows, source, p.a_column, target, line))
    else:
        call_kernel(p.pack_a_strided, (rows, depth, source, p.a_row, p.a_column, target, line, depth))


@device_function
def sweep_panels(p, rows, depth, columns, a, a_row, b, panel, c, bias, flags):
    """C (+)= A @ the panels of a block of B: the two inner loops, of which the micro-kernel is the last."""
    step = p.NR * p.size
    j = 0
    if p.group > 1:  # few rows: several panels at a time
        while j + p.group * p.NR <= columns:
            call_kernel(p.thin, (depth, a, a_row, b, panel, c, p.c_row, bias, flags))
            j += p.group * p.NR
            b += p.group * panel
            c += p.group * step
            bias += p.group * step if bias != 0 else 0
    while j < columns:
        kernel = p.sweep if columns - j >= p.NR else p.edge
        call_kernel(kernel, (rows, depth, columns - j, a, a_row, b, p.b_row, panel, c, p.c_row, bias, flags))
        j += p.NR
        b += panel
        c += step
        bias += step if bias != 0 else 0


@device_function
def blocked(p, rows, columns, a, b, c, bias, flags, memory):
    """C[rows, columns] = A @ B by the three outer loops."""
    for j in range(0, columns, p.NC):
        width = min(p.NC, columns - j)
        for k in range(0, max(p.inner, 1), p.KC):
            depth = min(p.KC, p.inner - k)
            last = k + depth == p.inner
            told = (flags if last else 0) | (ACCUMULATE if k > 0 else 0)
            offset = bias + j * p.size if bias != 0 and last else 0
            source = b + k * p.b_row + j * p.b_column
            packed = b + j // p.NR * p.b_panel + k * p.NR * p.b_size
            if p.b_way == PREPACKED:
                right, panel = packed, p.b_panel
            elif p.b_way == DIRECT:
                right, panel = source, p.NR * p.b_size
            else:
                right, panel = memory, panel_bytes(depth, p.b_line)
                if p.b_way == WIDENED:
                    panels = -(-width // p.NR)
                    call_kernel(p.widen, (panels, depth * p.NR, packed, p.b_panel, right, panel))
                elif p.b_way == PAIRED:
                    for n in range(-(-width // p.NR)):
                        call_kernel(
                            p.pair_up,
                            (depth, p.NR, packed + n * p.b_panel, p.b_line, right + n * panel, panel),
                        )
                else:
                    pack_b(p, source, depth, width, right)
            for i in range(0, rows, p.MC):
                height = min(p.MC, rows - i)
                left, step = a + i * p.a_row + k * p.a_column, p.a_row
                if p.a_way != DIRECT:
                    pack_a(p, left, height, depth, memory + p.a_memory)
                    left, step = memory + p.a_memory, row_bytes(depth, p.lanes, p.a_size)
                out = c + i * p.c_row + j * p.size
                sweep_panels(p, height, depth, width, left, step, right, panel, out, offset, told)


@device_function
def streamed(p, rows, columns, a, b, c, bias, flags, memory):
    """C[rows, columns] = A @ B with rows of B read as they lie, a few at a time: for few rows of A."""
    a_row, sums, line = p.a_row, c, p.c_row
    if p.a_way != DIRECT:
        pack_a(p, a, rows, p.inner, memory + p.a_memory)
        a, a_row = memory + p.a_memory, row_bytes(p.inner, p.lanes, p.a_size)
    if p.c_memory >= 0:
        sums, line = memory + p.c_memory, row_bytes(columns, p.lanes, p.a_size)
    k = 0
    while k < p.inner:
        told, left = ACCUMULATE if k > 0 else 0, a + k * p.size
        whole = k + p.depth <= p.inner
        kernel = p.stream if whole else p.stream_one
        call_kernel(kernel, (rows, columns, left, a_row, b + k * p.b_row, p.b_row, sums, line, told))
        k += p.depth if whole else 1
    if sums != c or bias != 0 or flags != 0:
        call_kernel(p.finish, (rows, columns, sums, line, c, p.c_row, 0, bias, flags))


@device_function
def outer(p, rows, columns, a, b, c, bias, flags, memory):
    """C[rows, columns] = A @ B for a short sum: row after row, so that C is written as memory likes it."""
    for i in range(rows):
        streamed(p, 1, columns, a + i * p.a_row, b, c + i * p.c_row, bias, flags, memory)


@device_function
def dotted(p, rows, columns, a, b, c, bias, flags, memory):
    """C[rows, columns] = A @ B by sums along K, for B whose columns are contiguous or few."""
    step = p.b_column
    if p.b_way != DIRECT:  # few columns: turned once into contiguous ones
        step = row_bytes(p.inner, p.lanes, p.a_size)
        call_kernel(p.pack_b_strided, (columns, p.inner, b, p.b_column, p.b_row, memory, step, p.inner))
        b = memory
    if rows <= columns:
        for j in range(0, columns, DOT_COLUMNS):  # these columns stay in the cache while all rows pass
            for i in range(rows):
                count, out = min(DOT_COLUMNS, columns - j), c + i * p.c_row + j * p.size
                call_kernel(p.dots, (count, p.inner, a + i * p.a_row, b + j * step, step, out))
    else:
        for i in range(rows):
            call_kernel(p.dots, (columns, p.inner, a + i * p.a_row, b, step, c + i * p.c_row))
    if bias != 0 or flags != 0:
        call_kernel(p.finish, (rows, columns, c, p.c_row, c, p.c_row, 0, bias, flags))


def run_tile(tile, thread, p, w):
    """Compute one tile of one product of a stack."""
    item, within = tile // (p.row_tiles * p.column_tiles), tile % (p.row_tiles * p.column_tiles)
    i, j = (within % p.row_tiles) * p.tile_rows, (within // p.row_tiles) * p.tile_columns
    rows, columns = min(p.tile_rows, p.rows - i), min(p.tile_columns, p.columns - j)
    a, b = w.a + i * p.a_row, w.b
    if w.a_index != 0:  # a stack: which matrix of each side this product takes
        a += load(w.a_index + 8 * item) * p.a_item
        b += load(w.b_index + 8 * item) * p.b_item
    if p.b_way in (PREPACKED, WIDENED, PAIRED):
        b += j // p.NR * p.b_panel
    else:
        b += j * p.b_column
    c = w.c + item * p.c_item + i * p.c_row + j * p.size
    bias = w.bias + j * p.size if w.bias != 0 else 0
    memory = w.memory + thread * p.scratch
    if p.path == BLOCKED:
        blocked(p, rows, columns, a, b, c, bias, w.flags, memory)
    elif p.path == OUTER:
        outer(p, rows, columns, a, b, c, bias, w.flags, memory)
    elif p.path == STREAMED:
        streamed(p, rows, columns, a, b, c, bias, w.flags, memory)
    else:
        dotted(p, rows, columns, a, b, c, bias, w.flags, memory)
