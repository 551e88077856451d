"""Blocks of a matrix copied to where the micro-kernels want them: whatever the strides, once.

A block of B becomes panels, NR columns wide, so that the micro-kernel reads memory in one straight line; a
block of A becomes compact rows. Packing costs a load and a store for what is then used many times, and it
absorbs transposed and strided operands on the way. Where a row ends within a vector, zeros fill it up.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from tinytorch.runtime.arrays import BFLOAT16, FLOAT32, LINE, DType
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value
from tinytorch.simd.target import Target

#: Rows of B that `panels` reads at a time. From memory, 3 KB of each row, in GB/s: one row 5.6, 4 rows 7.4,
#: 8 rows 8.7; with the next ones asked for 4 rows 8.8, 8 rows 9.0 (Zen 3, which reads 15 in a straight line).
PANEL_ROWS = 4


def packing_kernels(target: Target, dtype: DType, given: DType, width: int) -> Mapping[str, Kernel]:
    """Return what packs to a dtype from the same or a half type, B into panels of `width` columns."""
    pairs = {"pairs": Kernel(panels, FLOAT32, given, width, True)} if given == dtype == BFLOAT16 else {}
    return {
        **pairs,
        "panels": Kernel(panels, dtype, given, width, False),
        "rows": Kernel(rows, dtype, given),
        "transposed": Kernel(transposed, dtype, given),
        "strided": Kernel(strided, dtype, given),
    }


def panels(
    code: Code,
    dtype: DType,
    given: DType,
    width: int,
    paired: bool,
    depth: Value,
    columns: Value,
    source: Value,
    source_row: Value,
    target: Value,
    panel: Value,
) -> None:
    """Cut rows of B into panels that lie `panel` bytes apart: read along a few rows, as memory likes it.

    While they are read the next rows are asked for, whose beginnings the CPU would not see coming. `paired`
    puts every two rows of bfloat16 side by side, number by number: what `Vectors.dot` takes.
    """
    V = code.vectors(dtype)
    W = code.vectors(given, V.lanes)
    vectors, line = width // V.lanes, width * dtype.itemsize
    at_source, at_target = code.variable(code.address(source)), code.variable(code.address(target))
    rest = columns % width
    masks = [V.first(rest - v * V.lanes) for v in range(vectors)]

    def copy(count: int, start: Value, to: Value, masks: Sequence[Value | None]) -> None:
        load = W.load if paired else partial(V.load_from, W)
        lines = []
        for r in range(count):
            row = start + source_row * r
            for place in range(0, width * given.itemsize, LINE):
                code.prefetch(row + source_row * count + place)
            lines.append([load(row + v * W.bytes, mask) for v, mask in enumerate(masks)])
        if paired:
            lines += [[W.zero()] * vectors] * (count % 2)
            lines = [list(map(V.pair, *two)) for two in zip(lines[::2], lines[1::2], strict=True)]
        for r, held in enumerate(lines):
            for v, value in enumerate(held):
                V.store(value, to + (r * line + v * V.bytes))

    def pass_over(count: int) -> None:
        to = code.variable(at_target.get())
        with code.loop(columns // width) as p:
            copy(count, at_source.get() + p * (width * given.itemsize), to.get(), [None] * vectors)
            to.set(to.get() + panel)
        with code.when(rest > 0):
            copy(count, at_source.get() + (columns - rest) * given.itemsize, to.get(), masks)
        at_source.set(at_source.get() + source_row * count)
        at_target.set(at_target.get() + (count // 2 if paired else count) * line)

    for count in (PANEL_ROWS, 2, 1) if paired else (PANEL_ROWS, 1):
        with code.loop(depth // count):
            pass_over(count)
        depth = depth % count


def rows(
    code: Code,
    dtype: DType,
    given: DType,
    count: Value,
    columns: Value,
    source: Value,
    source_row: Value,
    target: Value,
    target_row: Value,
) -> None:
    """Copy rows; each is filled up to a whole vector."""
    V = code.vectors(dtype)
    W = code.vectors(given, V.lanes)
    at_source, at_target = code.variable(code.address(source)), code.variable(code.address(target))

    def copy(first: Value, mask: Value | None) -> None:
        value = V.load_from(W, at_source.get() + first * given.itemsize, mask)
        V.store(value, at_target.get() + first * dtype.itemsize)

    with code.loop(count):
        V.each(columns, copy)
        at_source.set(at_source.get() + source_row)
        at_target.set(at_target.get() + target_row)


def transposed(
    code: Code,
    dtype: DType,
    given: DType,
    groups: Value,
    count: Value,
    columns: Value,
    source: Value,
    source_row: Value,
    target: Value,
    target_row: Value,
) -> None:
    """target[c][r] = source[r][c], a square of vectors at a time, `groups` squares side by side.

    Rows of the source past `count` are taken for zeros, so that each of the `columns` rows of the target gets
    `groups` whole vectors.
    """
    V = code.vectors(dtype)
    W = code.vectors(given, V.lanes)
    with code.loop(groups) as g:
        corner = code.address(source) + source_row * (g * V.lanes)
        place = code.address(target) + g * V.bytes
        left = count - g * V.lanes

        def square(at: Value, mask: Value | None, here: Value, wanted: Value | None) -> None:
            lines = [code.variable(V.zero()) for _ in range(V.lanes)]

            def whole() -> None:
                for i, line in enumerate(lines):
                    line.set(V.load_from(W, corner + source_row * i + at * given.itemsize, mask))

            def part() -> None:
                for i, line in enumerate(lines):
                    with code.when(left > i):
                        line.set(V.load_from(W, corner + source_row * i + at * given.itemsize, mask))

            code.otherwise(left >= V.lanes, whole, part)
            for i, column in enumerate(V.transpose([line.get() for line in lines])):
                if wanted is None:
                    V.store(column, here + target_row * i)
                else:
                    with code.when(wanted > i):
                        V.store(column, here + target_row * i)

        with code.loop(columns // V.lanes) as j:
            square(j * V.lanes, None, place + target_row * (j * V.lanes), None)
        rest = columns % V.lanes
        with code.when(rest > 0):
            done = columns - rest
            square(done, V.first(rest), place + target_row * done, rest)


def strided(
    code: Code,
    dtype: DType,
    given: DType,
    count: Value,
    columns: Value,
    source: Value,
    source_row: Value,
    source_column: Value,
    target: Value,
    target_row: Value,
    width: Value,
) -> None:
    """Copy rows whose numbers lie `source_column` bytes apart, and fill each with zeros up to `width`."""
    V, W = code.vectors(dtype, 1), code.vectors(given, 1)
    with code.loop(count) as i:
        line, place = code.address(source) + source_row * i, code.address(target) + target_row * i
        with code.loop(columns) as j:
            V.store(V.load_from(W, line + source_column * j), place + j * dtype.itemsize)
        with code.loop(width - columns) as j:
            V.store(V.zero(), place + (columns + j) * dtype.itemsize)
