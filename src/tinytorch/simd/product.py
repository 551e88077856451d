"""The micro-kernels of a matrix product: tiles of C summed up in registers.

For each k, `sweep` loads one row of a panel of B (NR numbers), broadcasts MR numbers of column k of A, and
does MR * NR multiply-adds: MR + NR loads pay for MR * NR times the work. All else about a fast product is
done elsewhere (`ops.gemm`), and only so that these loads come from the nearest cache.

Where C has few rows there is nothing to reuse, and other kernels move B as fast as memory gives it: `thin`
reads several packed panels at once, `stream` reads rows of B as they lie (`axpy` for one row of A), `dots`
reads columns. Of these the sums may come and go; `finish` adds bias and activation to them at the end.

Distances between rows are in bytes; rows of A and C are contiguous.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

from tinytorch.runtime.arrays import BFLOAT16, LINE, DType
from tinytorch.simd.activation import activate
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value, Variable, Vectors
from tinytorch.simd.target import Target, tile

#: In `flags`: add to C instead of writing it, for all blocks of K but the first. The activation is the rest.
ACCUMULATE = 1
ACTIVATION_SHIFT = 1
#: Steps of K between two jumps: the loop's own three instructions then cost nothing beside 4 * 20.
UNROLL = 4
#: Bytes ahead at which a packed B is asked for where it comes from memory: 4 x 4096 x 4096 takes 30 GFLOP/s
#: without, 38 with 1024, 39 with 2048, 33 with 4096 (Zen 3). `thin` reads several panels at once, which is
#: enough for the CPU's own prefetching; more makes it slower.
AHEAD = 2048
#: Lines of the next panel that are asked for in the time of `UNROLL` numbers of K, for each line of a panel's
#: width: where several tiles of rows use a panel there is time for that. Past the fourth tile, or the second,
#: it is the panel after it. 16 x 4096 x 11008 gains 17% by one, 64 x 4096 x 11008 9%,
#: 8 x 4096 x 4096 33% by two (Zen 3). Where B comes from a cache, the CPU's own prefetching does.
NEXT_LINES = {"next": 1, "next_twice": 2}
#: Rows of B that `stream` holds in registers, by vectors of each: with 4 x 2 it does 8 multiply-adds for 4
#: broadcasts, 2 loads and 2 stores. 8 x 1 and 2 x 4 reach two thirds of its speed (Zen 3, 8 x 4096 x 4096).
STREAM_DEPTH, STREAM_VECTORS = 4, 2
#: Rows of B that `axpy` passes over at a time, by vectors of each. All that it does is to wait for B: 4 to 12
#: rows and 1 to 4 vectors are within 10%.
AXPY_DEPTH, AXPY_VECTORS = 8, 2
#: The same for short rows, of which the next are then asked for: 7% at rows of 1.5 to 3 KB. If rows are long
#: the CPU sees them coming, and asking as well costs up to a third.
SHORT_DEPTH, SHORT_VECTORS = 4, 4
#: Columns that `dots` sums up at a time, and vectors of K in a row: 4 x 2 chains of multiply-adds hide
#: their latency.
DOT_COLUMNS, DOT_VECTORS = 4, 2
#: Panels that `thin` reads at a time, by rows of A: enough sums to hide the latency. More sums than the last
#: number spill where a tile is four vectors wide, and are not needed there.
THIN_PANELS, THIN_SUMS = {1: 4, 2: 2, 3: 2}, 16

Masks: TypeAlias = list[Value | None]


class Following(NamedTuple):
    """The panel that is asked for while another is multiplied: where, and how many lines at a time."""

    at: Variable
    lines: int


def product_kernels(target: Target, dtype: DType, right: DType) -> Mapping[str, Kernel]:
    """Return every kernel that products of a dtype are made of; B's is `right`, the same or a half type."""
    sources = ["packed", "few", *NEXT_LINES, "direct"] + ["paired"] * pairs_up(target, right)
    sweeps = {
        f"{source}{edge}": Kernel(sweep, dtype, right, source, bool(edge))
        for source in sources
        for edge in ("", "_edge")
    }
    thins = {f"thin{rows}": Kernel(thin, dtype, right, rows) for rows in thin_panels(target)}
    return {
        **sweeps,
        **thins,
        "stream": Kernel(stream, dtype, right, STREAM_DEPTH),
        "stream_one": Kernel(stream, dtype, right, 1),
        "axpy": Kernel(axpy, dtype, right, AXPY_DEPTH, AXPY_VECTORS, False),
        "axpy_short": Kernel(axpy, dtype, right, SHORT_DEPTH, SHORT_VECTORS, True),
        "axpy_one": Kernel(axpy, dtype, right, 1, SHORT_VECTORS, False),
        "dots": Kernel(dots, dtype, right),
        "finish": Kernel(finish, dtype),
    }


def pairs_up(target: Target, right: DType) -> bool:
    """Say whether products of this dtype with itself are computed in pairs along the sum (`Vectors.dot`)."""
    return target.bfloat16_dot and right == BFLOAT16


def thin_panels(target: Target) -> dict[int, int]:
    """Return the panels that `thin` reads at a time, by rows of A, where so many sums stay in registers."""
    return {rows: n for rows, n in THIN_PANELS.items() if rows * n * target.vectors <= THIN_SUMS}


def sweep(
    code: Code,
    dtype: DType,
    right: DType,
    source: str,
    masked: bool,
    rows: Value,
    depth: Value,
    columns: Value,
    a: Value,
    a_row: Value,
    b: Value,
    b_row: Value,
    b_panel: Value,
    c: Value,
    c_row: Value,
    bias: Value,
    flags: Value,
) -> None:
    """C[rows, columns] (+)= A @ one panel of B, which is "packed", or "direct": rows `b_row` apart.

    In a "paired" panel the numbers of two rows lie side by side, and A is of the same narrow dtype.
    With "few" rows of A a packed B is read as fast as memory gives it, so it is asked for ahead; with some
    more it is the "next" panel that is asked for, `b_panel` further. The rows
    are cut into tiles of nearly the same height, so that none is too low to keep the multiply-adds busy: 8
    rows are 4 + 4, not 6 + 2. `masked` is for panels of fewer than NR columns: of their vectors as many are
    computed as hold any, up to a power of two (100 x 100 x 100 gains 8%).
    """
    V = code.vectors(dtype)
    W = code.vectors(right, V.lanes)
    height, width = tile(code.target, dtype)
    direct, ahead = source == "direct", AHEAD if source == "few" else 0
    if direct and masked:
        height -= 1  # the masks need registers
    heights = even_heights(code, rows, height)
    at_a, at_c = code.variable(code.address(a)), code.variable(code.address(c))
    panel, step = code.address(b), b_row if direct else code.integer(width * right.itemsize)
    if source == "paired":
        W, step = V, code.integer(width * dtype.itemsize)

    following = None
    if source in NEXT_LINES:
        lines = max(1, NEXT_LINES[source] * width * right.itemsize // LINE)
        following = Following(code.variable(panel + b_panel), lines)

    def pass_down(vectors: int) -> None:
        masks: Masks = [V.first(columns - j * V.lanes) if masked else None for j in range(vectors)]
        read: Masks = masks if direct else [None] * vectors  # a packed panel is filled up
        sources = [(panel, j * W.bytes) for j in range(vectors)]
        for h, count in heights:
            with code.loop(count):
                left = [at_a.get() + a_row * i for i in range(h)]
                out = [at_c.get() + c_row * i for i in range(h)]
                for row in out:  # asked for now, the tile of C is there when its sums are done: 11% at 2048^3
                    code.prefetch(row, write=True)
                    code.prefetch(row + (vectors * V.bytes - 1), write=True)
                if source == "paired":
                    total = _multiply_pairs(code, V, left, sources, step, depth)
                else:
                    total = _multiply(code, V, W, left, sources, step, depth, read, ahead, following)
                _finish_tile(code, V, total, out, [j * V.bytes for j in range(vectors)], masks, bias, flags)
                at_a.set(at_a.get() + a_row * h)
                at_c.set(at_c.get() + c_row * h)

    def choose(vectors: int) -> None:
        half = vectors // 2
        if masked and half:
            code.otherwise(columns > half * V.lanes, lambda: pass_down(vectors), lambda: choose(half))
        else:
            pass_down(vectors)

    choose(width // V.lanes)


def even_heights(code: Code, rows: Value, most: int) -> list[tuple[int, Value]]:
    """Cut rows into as few tiles as can be, of nearly the same height: the heights and how many of each."""
    tiles = (rows + (most - 1)) // most
    least = rows // tiles
    higher = rows - least * tiles  # so many tiles have a row more
    none = code.integer(0)
    return [
        (h, code.select(least.equals(h), tiles - higher, code.select(least.equals(h - 1), higher, none)))
        for h in range(most, 0, -1)
    ]


def thin(
    code: Code,
    dtype: DType,
    right: DType,
    height: int,
    depth: Value,
    a: Value,
    a_row: Value,
    b: Value,
    b_panel: Value,
    c: Value,
    c_row: Value,
    bias: Value,
    flags: Value,
) -> None:
    """Like `sweep` for `height` rows of A and several packed panels of B, `b_panel` apart, all full."""
    V = code.vectors(dtype)
    _, width = tile(code.target, dtype)
    vectors = width // V.lanes
    panels = [code.address(b) + b_panel * p for p in range(thin_panels(code.target)[height])]
    W = code.vectors(right, V.lanes)
    sources = [(panel, j * W.bytes) for panel in panels for j in range(vectors)]
    masks: Masks = [None] * len(sources)
    left = [code.address(a) + a_row * i for i in range(height)]
    step = code.integer(width * right.itemsize)
    total = _multiply(code, V, W, left, sources, step, depth, masks, 0)
    out = [code.address(c) + c_row * i for i in range(height)]
    places = [j * V.bytes for j in range(len(sources))]
    _finish_tile(code, V, total, out, places, masks, bias, flags)


def _multiply(
    code: Code,
    V: Vectors,
    W: Vectors,
    left: list[Value],
    right: list[tuple[Value, int]],
    step: Value,
    depth: Value,
    masks: Masks,
    ahead: int,
    following: Following | None = None,
) -> list[list[Variable]]:
    """Return total[i][j] = the sum over k of left[i][k] * the vector right[j], `step` further for each k.

    B lies in memory as vectors of `W`; `ahead` bytes further it is asked for, unless that is 0, and so is
    the panel that follows.
    """
    total = [[code.variable(V.zero()) for _ in right] for _ in left]
    at_a, at_b = code.variable(code.integer(0)), code.variable(code.integer(0))

    def steps(count: int) -> None:
        if following and count == UNROLL:
            for line in range(following.lines):
                code.prefetch(following.at.get() + line * LINE, level=2)
            following.at.set(following.at.get() + following.lines * LINE)
        for number in range(count):
            offset = at_b.get() + step * number
            xs = [line + at_a.get() + number * V.dtype.itemsize for line in left]
            for start, place in right if ahead else ():
                if place % LINE == 0:
                    code.prefetch(start + offset + (place + ahead))
            if len(left) < len(right):  # a few numbers of A stay, the vectors of B pass by
                broadcast = [V.broadcast(x) for x in xs]
                for j, (start, place) in enumerate(right):
                    y = V.load_from(W, start + offset + place, masks[j])
                    for i, x in enumerate(broadcast):
                        total[i][j].set(V.fma(x, y, total[i][j].get()))
            else:
                ys = [
                    V.load_from(W, start + offset + place, mask)
                    for (start, place), mask in zip(right, masks, strict=True)
                ]
                for i, address in enumerate(xs):
                    x = V.broadcast(address)
                    for j, y in enumerate(ys):
                        total[i][j].set(V.fma(x, y, total[i][j].get()))
        at_a.set(at_a.get() + count * V.dtype.itemsize)
        at_b.set(at_b.get() + step * count)

    with code.loop(depth // UNROLL):
        steps(UNROLL)
    with code.loop(depth % UNROLL):
        steps(1)
    return total


def _multiply_pairs(
    code: Code,
    V: Vectors,
    left: list[Value],
    right: list[tuple[Value, int]],
    step: Value,
    depth: Value,
) -> list[list[Variable]]:
    """Like `_multiply`, for two k at a time: two numbers of each row of A, and of B a vector of pairs."""
    total = [[code.variable(V.zero()) for _ in right] for _ in left]
    at_a, at_b = code.variable(code.integer(0)), code.variable(code.integer(0))
    pair = 2 * BFLOAT16.itemsize

    def add(xs: Callable[[Value], Value], number: int) -> None:
        ys = [V.load(start + at_b.get() + step * number + place) for start, place in right]
        for i, line in enumerate(left):
            x = xs(line + at_a.get() + number * pair)
            for cell, y in zip(total[i], ys, strict=True):
                cell.set(V.dot(x, y, cell.get()))

    def steps(count: int) -> None:
        for number in range(count):
            add(partial(V.broadcast, align=BFLOAT16.itemsize), number)
        at_a.set(at_a.get() + count * pair)
        at_b.set(at_b.get() + step * count)

    pairs = depth // 2
    with code.loop(pairs // UNROLL):
        steps(UNROLL)
    with code.loop(pairs % UNROLL):
        steps(1)
    with code.when(depth % 2 > 0):  # a number without another, and a row of B without
        add(V.broadcast_half, 0)
    return total


def _finish_tile(
    code: Code,
    V: Vectors,
    total: list[list[Variable]],
    out: list[Value],
    places: list[int],
    masks: Masks,
    bias: Value,
    flags: Value,
) -> None:
    """Add C and the bias if told so, apply the activation, and store."""
    with code.when((flags & ACCUMULATE) > 0):
        for line, row in zip(total, out, strict=True):
            for cell, place, mask in zip(line, places, masks, strict=True):
                cell.set(cell.get() + V.load(row + place, mask))
    with code.when(bias.differs(0)):
        for j, (place, mask) in enumerate(zip(places, masks, strict=True)):
            offset = V.load(code.address(bias) + place, mask)
            for line in total:
                line[j].set(line[j].get() + offset)
    activation = flags >> ACTIVATION_SHIFT
    with code.when(activation > 0):
        for line in total:
            for cell in line:
                cell.set(activate(V, cell.get(), activation))
    for line, row in zip(total, out, strict=True):
        for cell, place, mask in zip(line, places, masks, strict=True):
            V.store(cell.get(), row + place, mask)


def stream(
    code: Code,
    dtype: DType,
    right: DType,
    depth: int,
    rows: Value,
    columns: Value,
    a: Value,
    a_row: Value,
    b: Value,
    b_row: Value,
    c: Value,
    c_row: Value,
    flags: Value,
) -> None:
    """C[rows, columns] (+)= A[:, depth] @ B[depth, columns], with B read as it lies, along its rows.

    A few rows of B are held in registers while all rows of A pass; C comes and goes, so it must be in a near
    cache, and its rows must not lie a multiple of 4096 bytes apart.
    """
    V = code.vectors(dtype)
    W = code.vectors(right, V.lanes)
    a, b, c = (code.address(x) for x in (a, b, c))

    def body(at: Value, masks: Masks, accumulate: bool) -> None:
        _ask(code, b + b_row * depth + at * right.itemsize, b_row, depth, len(masks) * W.bytes)
        held = [
            [
                V.load_from(W, b + b_row * k + at * right.itemsize + v * W.bytes, mask)
                for v, mask in enumerate(masks)
            ]
            for k in range(depth)
        ]
        at_a, at_c = code.variable(a), code.variable(c + at * dtype.itemsize)
        with code.loop(rows):
            places = [at_c.get() + v * V.bytes for v in range(len(masks))]
            total = [
                V.load(place, mask) if accumulate else V.zero()
                for place, mask in zip(places, masks, strict=True)
            ]
            for k, line in enumerate(held):
                x = V.broadcast(at_a.get() + k * dtype.itemsize)
                total = [V.fma(x, y, part) for y, part in zip(line, total, strict=True)]
            for part, place, mask in zip(total, places, masks, strict=True):
                V.store(part, place, mask)
            at_a.set(at_a.get() + a_row)
            at_c.set(at_c.get() + c_row)

    _along_columns(code, V, columns, STREAM_VECTORS, body, flags)


def _ask(code: Code, start: Value, row: Value, rows: int, count: int) -> None:
    """Ask for `count` bytes of each of the next rows of B, whose beginnings the CPU does not see coming."""
    for k in range(rows):
        for place in range(0, count, LINE):
            code.prefetch(start + row * k + place, level=2)


def axpy(
    code: Code,
    dtype: DType,
    right: DType,
    depth: int,
    vectors: int,
    ask: bool,
    rows: Value,
    columns: Value,
    a: Value,
    a_row: Value,
    b: Value,
    b_row: Value,
    c: Value,
    c_row: Value,
    flags: Value,
) -> None:
    """Like `stream` for one row of A, whose numbers then stay in registers instead of those of B."""
    V = code.vectors(dtype)
    W = code.vectors(right, V.lanes)
    a, b, c = (code.address(x) for x in (a, b, c))
    xs = [V.broadcast(a + k * dtype.itemsize) for k in range(depth)]

    def body(at: Value, masks: Masks, accumulate: bool) -> None:
        if ask:
            _ask(code, b + b_row * depth + at * right.itemsize, b_row, depth, len(masks) * W.bytes)
        places = [c + at * dtype.itemsize + v * V.bytes for v in range(len(masks))]
        total = [
            V.load(place, mask) if accumulate else V.zero() for place, mask in zip(places, masks, strict=True)
        ]
        for k, x in enumerate(xs):
            for v, mask in enumerate(masks):
                y = V.load_from(W, b + b_row * k + at * right.itemsize + v * W.bytes, mask)
                total[v] = V.fma(x, y, total[v])
        for part, place, mask in zip(total, places, masks, strict=True):
            V.store(part, place, mask)

    _along_columns(code, V, columns, vectors, body, flags)


def _along_columns(
    code: Code,
    V: Vectors,
    columns: Value,
    vectors: int,
    body: Callable[[Value, Masks, bool], None],
    flags: Value,
) -> None:
    """Do `body` for every `vectors` vectors of a row, for single ones, and for what is left under a mask.

    A masked store is slow on some CPUs, and no faster for storing nothing: 1000 x 1 x 1000 took half as long
    again with the last block under masks (Zen 3).
    """
    block = vectors * V.lanes

    def pass_over(accumulate: bool) -> None:
        with code.loop(columns // block) as j:
            body(j * block, [None] * vectors, accumulate)
        rest = columns % block
        with code.loop(rest // V.lanes) as j:
            body(columns - rest + j * V.lanes, [None], accumulate)
        rest = columns % V.lanes
        with code.when(rest > 0):
            body(columns - rest, [V.first(rest)], accumulate)

    code.otherwise((flags & ACCUMULATE) > 0, lambda: pass_over(True), lambda: pass_over(False))


def dots(
    code: Code,
    dtype: DType,
    right: DType,
    columns: Value,
    depth: Value,
    a: Value,
    b: Value,
    b_column: Value,
    c: Value,
) -> None:
    """C[0, columns] = one row of A times columns of B that lie along k, `b_column` bytes apart."""
    V = code.vectors(dtype)
    W = code.vectors(right, V.lanes)
    a = code.address(a)
    at_b, at_c = code.variable(code.address(b)), code.variable(code.address(c))
    block = DOT_VECTORS * V.lanes

    def group(width: int) -> None:
        total = [[code.variable(V.zero()) for _ in range(DOT_VECTORS)] for _ in range(width)]

        def step(at: Value, masks: Masks) -> None:
            xs = [V.load(a + at * dtype.itemsize + v * V.bytes, mask) for v, mask in enumerate(masks)]
            for j in range(width):
                for v, mask in enumerate(masks):
                    y = V.load_from(W, at_b.get() + b_column * j + at * right.itemsize + v * W.bytes, mask)
                    total[j][v].set(V.fma(xs[v], y, total[j][v].get()))

        with code.loop(depth // block) as k:
            step(k * block, [None] * DOT_VECTORS)
        rest = depth % block
        with code.when(rest > 0):
            step(depth - rest, [V.first(rest - v * V.lanes) for v in range(DOT_VECTORS)])
        for j, parts in enumerate(total):
            V.store_number(V.total(parts), at_c.get() + j * dtype.itemsize)
        at_b.set(at_b.get() + b_column * width)
        at_c.set(at_c.get() + width * dtype.itemsize)

    with code.loop(columns // DOT_COLUMNS):
        group(DOT_COLUMNS)
    with code.loop(columns % DOT_COLUMNS):
        group(1)


def finish(
    code: Code,
    dtype: DType,
    rows: Value,
    columns: Value,
    source: Value,
    source_row: Value,
    target: Value,
    target_row: Value,
    factors: Value,
    bias: Value,
    flags: Value,
) -> None:
    """target[rows, columns] = activation(source * factors + bias): for sums not finished in registers.

    `factors`, one for each column, and `bias` may be 0.
    """
    V = code.vectors(dtype)
    at_source, at_target = code.variable(code.address(source)), code.variable(code.address(target))
    activation = flags >> ACTIVATION_SHIFT

    def step(first: Value, mask: Value | None) -> None:
        at = first * dtype.itemsize
        value = code.variable(V.load(at_source.get() + at, mask))
        with code.when(factors.differs(0)):
            value.set(value.get() * V.load(code.address(factors) + at, mask))
        with code.when(bias.differs(0)):
            value.set(value.get() + V.load(code.address(bias) + at, mask))
        value.set(activate(V, value.get(), activation))
        V.store(value.get(), at_target.get() + at, mask)

    with code.loop(rows):
        V.each(columns, step)
        at_source.set(at_source.get() + source_row)
        at_target.set(at_target.get() + target_row)
