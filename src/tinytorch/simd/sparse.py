"""Products of dense rows by a matrix that is mostly zeros: what is zero is neither kept nor multiplied.

Zeros in whole blocks suit the register tile: `blocks` is the dense kernel that jumps along A to where the
next block belongs, so a quarter of the blocks takes a quarter of the time. Zeros wherever they fall leave
single numbers, of which no vector can be loaded: `columns` multiplies each by a vector of rows of A instead,
which lies turned, and does it as well for one row, a number at a time.
"""

from collections.abc import Mapping

from tinytorch.runtime.arrays import INT16, INT32, INT64, DType
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value, Variable, Vectors
from tinytorch.simd.product import AHEAD, even_heights
from tinytorch.simd.target import Target

#: Rows and columns of a block. 16 float32 are a cache line, and one, two or four vectors; four rows pay for
#: the jump, and are four sums that run side by side where there is one row of A.
BLOCK_ROWS, BLOCK_COLUMNS = 4, 16
#: Multiply-adds under way that cover the latency of one: 4 cycles, two a cycle.
_CHAINS = 8
#: Vectors of rows that `columns` multiplies by a number at a time: the number is loaded once for all.
WIDE = 4
#: Numbers of a column between two jumps of `columns`: as many sums run side by side.
_NUMBERS = {1: 4, WIDE: 2}


def sparse_kernels(target: Target, dtype: DType) -> Mapping[str, Kernel]:
    """Return the kernels for a float dtype; `columns` by the size of indices, rows at a time in vectors."""
    kernels = {f"blocks{edge}": Kernel(blocks, dtype, bool(edge)) for edge in ("", "_edge")}
    lanes = target.lanes(dtype)
    for index in (INT16, INT32):
        size = index.itemsize
        kernels[f"columns_row{size}"] = Kernel(columns, dtype, index, 1, 1)
        kernels[f"columns_vector{size}"] = Kernel(columns, dtype, index, lanes, 1)
        kernels[f"columns_wide{size}"] = Kernel(columns, dtype, index, lanes, WIDE)
    return kernels


def block_height(target: Target, dtype: DType) -> int:
    """Return how many rows of A `blocks` multiplies at a time.

    Their sums, a row of B and a number of A must fit in the vector registers, and where the rows begin in the
    others: 8 of 16.
    """
    vectors = BLOCK_COLUMNS // target.lanes(dtype)
    sums = 24 if target.registers == 32 else 12 if target.fused else 8
    return max(1, min(sums // vectors, 8))


def blocks(
    code: Code,
    dtype: DType,
    masked: bool,
    rows: Value,
    count: Value,
    left: Value,
    a: Value,
    a_row: Value,
    places: Value,
    values: Value,
    c: Value,
    c_row: Value,
) -> None:
    """C[rows, 16] = A @ one panel of B of which `count` blocks are there, their first rows at `places`.

    `masked` is for the last panel, of which `left` columns are written.
    """
    V, numbers = code.vectors(dtype), code.vectors(INT64, 1)
    vectors = BLOCK_COLUMNS // V.lanes
    at_a, at_c = code.variable(code.address(a)), code.variable(code.address(c))

    def multiply(lines: list[Value], sums: list[list[list[Variable]]]) -> None:
        at_place, at_value = code.variable(code.address(places)), code.variable(code.address(values))
        with code.loop(count):
            place = numbers.load_number(at_place.get()) * dtype.itemsize
            if len(lines) == 1:
                code.prefetch(at_value.get() + AHEAD)
            for k in range(BLOCK_ROWS):
                ys = [V.load(at_value.get() + (k * vectors + j) * V.bytes) for j in range(vectors)]
                for line, cells in zip(lines, sums, strict=True):
                    x = V.broadcast(line + place + k * dtype.itemsize)
                    for chains, y in zip(cells, ys, strict=True):
                        chain = chains[k % len(chains)]
                        chain.set(V.fma(x, y, chain.get()))
            at_place.set(at_place.get() + INT64.itemsize)
            at_value.set(at_value.get() + BLOCK_ROWS * vectors * V.bytes)

    for h, tiles in even_heights(code, rows, block_height(code.target, dtype)):
        chains = min(BLOCK_ROWS, max(1, _CHAINS // (h * vectors)))
        with code.loop(tiles):
            sums = [
                [[code.variable(V.zero()) for _ in range(chains)] for _ in range(vectors)] for _ in range(h)
            ]
            multiply([at_a.get() + a_row * i for i in range(h)], sums)
            for i, cells in enumerate(sums):
                for j, parts in enumerate(cells):
                    mask = V.first(left - j * V.lanes) if masked else None
                    V.store(_together(parts), at_c.get() + c_row * i + j * V.bytes, mask)
            at_a.set(at_a.get() + a_row * h)
            at_c.set(at_c.get() + c_row * h)


def columns(
    code: Code,
    dtype: DType,
    index: DType,
    lanes: int,
    vectors: int,
    count: Value,
    starts: Value,
    indices: Value,
    values: Value,
    a: Value,
    c: Value,
) -> None:
    """Write `count` columns of C, turned: of each, the sum of its numbers times those rows of A, turned.

    Rows of both are `vectors` of `lanes` numbers. Numbers of column j and the rows of A that they meet lie
    from `starts`[j] to `starts`[j + 1].
    """
    V = code.vectors(dtype, lanes)
    whole, narrow = code.vectors(INT64, 1), code.vectors(index, 1)
    at_start, at_c = code.variable(code.address(starts)), code.variable(code.address(c))
    size, base = vectors * lanes * dtype.itemsize, code.address(a)
    with code.loop(count):
        begin, end = (whole.load_number(at_start.get() + n * INT64.itemsize) for n in (0, 1))
        sums = [[code.variable(V.zero()) for _ in range(_NUMBERS[vectors])] for _ in range(vectors)]
        at_index = code.variable(code.address(indices) + begin * index.itemsize)
        at_value = code.variable(code.address(values) + begin * dtype.itemsize)

        def step(numbers: int, V: Vectors = V, at_index: Variable = at_index, at_value: Variable = at_value,
                 sums: list[list[Variable]] = sums) -> None:  # fmt: skip
            for n in range(numbers):
                row = base + narrow.load_index(at_index.get() + n * index.itemsize) * size
                value = V.broadcast(at_value.get() + n * dtype.itemsize)
                for j, chains in enumerate(sums):
                    chain = chains[n]
                    chain.set(V.fma(value, V.load(row + j * V.bytes), chain.get()))
            at_index.set(at_index.get() + numbers * index.itemsize)
            at_value.set(at_value.get() + numbers * dtype.itemsize)

        with code.loop((end - begin) // _NUMBERS[vectors]):
            step(_NUMBERS[vectors])
        with code.loop((end - begin) % _NUMBERS[vectors]):
            step(1)
        for j, chains in enumerate(sums):
            V.store(_together(chains), at_c.get() + j * V.bytes)
        at_start.set(at_start.get() + INT64.itemsize)
        at_c.set(at_c.get() + size)


def _together(parts: list[Variable]) -> Value:
    total = parts[0].get()
    for part in parts[1:]:
        total = total + part.get()
    return total
