"""The micro-kernels of int8 products, summed exactly in int32, and what brings floats to int8.

CPUs multiply groups of small integers and add them to one int32 in one instruction: four bytes (AVX-512 and
AVX VNNI, NEON's dot product), or two int16 (everywhere on x86). So B lies in panels of NR columns whose rows
are groups: `group` numbers of a column side by side. A lies in rows of codes, as bytes or widened to int16; a
step of `sweep` broadcasts one group of each row. x86's instruction for bytes takes those of A without a sign:
codes are then stored 128 too large, which costs nothing, since sums begin at -128 times the column's sum.

AVX2 has an instruction for bytes too, but it adds pairs to int16 and saturates: 255 * 127 * 2 does not fit.
"""

from collections.abc import Mapping

from tinytorch.runtime.arrays import FLOAT32, FLOAT64, INT8, INT16, INT32, LINE, UINT8, DType
from tinytorch.simd.activation import activate
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value, Variable, Vectors
from tinytorch.simd.product import ACTIVATION_SHIFT, AHEAD, UNROLL, even_heights
from tinytorch.simd.target import Target, tile

#: The largest code, and the smallest.
HIGHEST, LOWEST = 127, -128
#: Added and taken away again, it rounds to an integer, halves to even: 1.5 * 2^(bits of the fraction).
_MAGIC = {FLOAT32: 1.5 * 2.0**23, FLOAT64: 1.5 * 2.0**52}
#: Beyond this no zero point brings a value back to a code, and below it `_MAGIC` rounds.
_LIMIT = 1024.0


def integer_kernels(target: Target, dtype: DType) -> Mapping[str, Kernel]:
    """Return the kernels of products whose result is of `dtype`: int32, or the float of A."""
    sweeps = {
        f"{name}{edge}": Kernel(sweep, dtype, bool(edge), name == "few")
        for name in ("sweep", "few")
        for edge in ("", "_edge")
    }
    if dtype == INT32:
        return {**sweeps, "rows": Kernel(rows), "panels": Kernel(panels)}
    return {**sweeps, "dynamic": Kernel(quantize, dtype, False), "static": Kernel(quantize, dtype, True)}


def code_dtype(target: Target) -> DType:
    """Return how codes of A lie in memory."""
    return UINT8 if target.group == 4 else INT16


def sweep(
    code: Code,
    dtype: DType,
    masked: bool,
    ahead: bool,
    rows: Value,
    groups: Value,
    columns: Value,
    a: Value,
    a_row: Value,
    b: Value,
    c: Value,
    c_row: Value,
    scales: Value,
    factors: Value,
    shifts: Value,
    sums: Value,
    bias: Value,
    flags: Value,
) -> None:
    """C[rows, columns] = A @ one panel of B: as int32, or as floats, scaled by row and by column.

    The sum of a row and a column is (total + shift of the row * sum of the column), and a float result
    activation(sum * scale of the row * factor of the column + bias), computed in float64 and rounded once
    before the activation. `shifts` and `bias` may be 0. Rows are cut into tiles of nearly the same height, as
    in `simd.product.sweep`; `masked` is for panels of fewer than NR columns, which lie in memory filled up.
    With few rows B is asked for `ahead`.
    """
    V = code.vectors(INT32)
    height, width = tile(code.target, INT32)
    vectors = width // V.lanes
    b, sums_at = code.address(b), code.address(sums)
    at_a, at_c = code.variable(code.address(a)), code.variable(code.address(c))
    at_scale, at_shift = code.variable(code.address(scales)), code.variable(code.address(shifts))

    def multiply(left: list[Value], total: list[list[Variable]]) -> None:
        group, line = 4, width * code.target.group
        place_a, place_b = code.variable(code.integer(0)), code.variable(b)

        def steps(count: int) -> None:
            for step in range(count):
                if ahead and step * line % LINE == 0:
                    for place in range(0, line, LINE):
                        code.prefetch(place_b.get() + (step * line + place + AHEAD))
                ys = [
                    V.load_groups(place_b.get() + (step * line + j * V.lanes * code.target.group))
                    for j in range(vectors)
                ]
                for row, cells in zip(left, total, strict=True):
                    x = V.broadcast(row + place_a.get() + step * group)
                    for cell, y in zip(cells, ys, strict=True):
                        cell.set(V.dot_groups(x, y, cell.get()))
            place_a.set(place_a.get() + count * group)
            place_b.set(place_b.get() + count * line)

        with code.loop(groups // UNROLL):
            steps(UNROLL)
        with code.loop(groups % UNROLL):
            steps(1)

    for h, count in even_heights(code, rows, height):
        with code.loop(count):
            total = [[code.variable(V.zero()) for _ in range(vectors)] for _ in range(h)]
            with code.when(shifts.differs(0)):
                for j in range(vectors):
                    column = V.load(sums_at + j * V.bytes)
                    for i, cells in enumerate(total):
                        cells[j].set(column * V.broadcast(at_shift.get() + i * 4))
            out = [at_c.get() + c_row * i for i in range(h)]
            for row in out:  # asked for now, the tile of C is there when its sums are done
                for place in range(0, width * dtype.itemsize, LINE):
                    code.prefetch(row + place, write=True)
            multiply([at_a.get() + a_row * i for i in range(h)], total)
            for i, (row, cells) in enumerate(zip(out, total, strict=True)):
                if dtype == INT32:
                    for j, cell in enumerate(cells):
                        mask = V.first(columns - j * V.lanes) if masked else None
                        V.store(cell.get(), row + j * V.bytes, mask)
                else:
                    scale = code.vectors(FLOAT64).broadcast(at_scale.get() + i * 8)
                    for j, cell in enumerate(cells):
                        _finish(code, V, dtype, masked, cell, j, scale, row, columns, factors, bias, flags)
            at_a.set(at_a.get() + a_row * h)
            at_c.set(at_c.get() + c_row * h)
            at_scale.set(at_scale.get() + 8 * h)
            at_shift.set(at_shift.get() + 4 * h)


def _finish(
    code: Code,
    V: Vectors,
    dtype: DType,
    masked: bool,
    cell: Variable,
    j: int,
    scale: Value,
    row: Value,
    columns: Value,
    factors: Value,
    bias: Value,
    flags: Value,
) -> None:
    """Scale one vector of sums, the j-th of a row, add the bias, apply the activation, and store it."""
    D, W = code.vectors(FLOAT64), code.vectors(dtype)
    first = j * V.lanes
    place = code.address(factors) + first * FLOAT64.itemsize
    # One scale after the other: their product may be out of range where the result is not.
    parts = [
        code.variable(part * scale * D.load(place + k * D.bytes))
        for k, part in enumerate(V.widen(cell.get()))
    ]
    span = V.lanes // W.lanes  # vectors of the result for one of sums
    each = len(parts) // span
    for n in range(span):
        here, at = parts[n * each : (n + 1) * each], first + n * W.lanes
        mask = W.first(columns - at) if masked else None
        with code.when(bias.differs(0)):
            offset = W.load(code.address(bias) + at * dtype.itemsize, mask)
            for part, value in zip(here, W.widen(offset), strict=True):
                part.set(part.get() + value)
        value = activate(W, W.narrow([part.get() for part in here]), flags >> ACTIVATION_SHIFT)
        W.store(value, row + at * dtype.itemsize, mask)


def quantize(
    code: Code,
    dtype: DType,
    given: bool,
    rows: Value,
    columns: Value,
    x: Value,
    x_row: Value,
    codes: Value,
    codes_row: Value,
    scales: Value,
    shifts: Value,
    zero_point: Value,
) -> None:
    """Bring rows of floats to codes, as ONNX QuantizeLinear: saturate(round(x / scale) + zero point).

    `given`: the scale of each row is read (float64), and `zero_point` is that of all. Otherwise they follow
    from each row: max-abs / 127 where `zero_point` is 0, else the row's whole range, zero included, over 255.
    Scales are then written. A row that is not finite gets the scale NaN, even where scales are given. Shifts,
    which undo the zero point, are written always.
    """
    V = code.vectors(dtype)
    at_x, at_codes = code.variable(code.address(x)), code.variable(code.address(codes))
    at_scale, at_shift = code.variable(code.address(scales)), code.variable(code.address(shifts))
    wide, narrow = code.vectors(FLOAT64, 1), code.vectors(INT32, 1)
    with code.loop(rows):
        scale, zero = code.variable(V.number(1.0)), code.variable(V.number(0.0))
        if given:
            scale.set(V.from_double(wide.load_number(at_scale.get())))
            zero.set(V.from_integer(zero_point))
        else:
            high, low, check = _extremes(code, V, at_x.get(), columns)
            with code.when(zero_point.equals(0)):
                scale.set(_symmetric(code, V, high, low))
            with code.when(zero_point.differs(0)):
                _whole_range(code, V, high, low, scale, zero)
            _tell(code, check, V.to_double(scale.get()), at_scale.get())
        shift = V.to_integer(V.number(-float(code.target.offset)) - zero.get())
        narrow.store_number(shift, at_shift.get())
        check = _codes(
            code, V, given, at_x.get(), columns, at_codes.get(), V.splat(scale.get()), V.splat(zero.get())
        )
        if given:
            _tell(code, check, wide.load_number(at_scale.get()), at_scale.get())
        at_x.set(at_x.get() + x_row)
        at_codes.set(at_codes.get() + codes_row)
        at_scale.set(at_scale.get() + 8)
        at_shift.set(at_shift.get() + 4)


def _tell(code: Code, check: Value, scale: Value, address: Value) -> None:
    """Write the scale of a row, or NaN if the row is not finite: `check` is NaN then."""
    wide = code.vectors(FLOAT64, 1)
    wide.store_number(code.select(check.equals(check), scale, wide.number(float("nan"))), address)


def _extremes(code: Code, V: Vectors, x: Value, columns: Value) -> tuple[Value, Value, Value]:
    """Return the largest and smallest number of a row and zero, and one that is NaN unless all are finite."""
    count = 4  # vectors at a time: comparisons take their turn
    high, low, check = ([code.variable(V.zero()) for _ in range(count)] for _ in range(3))

    def step(first: Value, mask: Value | None, n: int) -> None:
        value = V.load(x + first * V.dtype.itemsize, mask)
        high[n].set(code.select(value > high[n].get(), value, high[n].get()))
        low[n].set(code.select(value < low[n].get(), value, low[n].get()))
        check[n].set(V.fma(value, V.zero(), check[n].get()))  # infinity times zero is NaN

    block = count * V.lanes
    with code.loop(columns // block) as k:
        for n in range(count):
            step(k * block + n * V.lanes, None, n)
    done = columns - columns % block
    V.each(columns % block, lambda first, mask: step(done + first, mask, 0))

    def larger(a: Value, b: Value) -> Value:
        return code.select(a > b, a, b)

    def smaller(a: Value, b: Value) -> Value:
        return code.select(a < b, a, b)

    return V.reduce(high, larger), V.reduce(low, smaller), V.reduce(check, lambda a, b: a + b)


def _symmetric(code: Code, V: Vectors, high: Value, low: Value) -> Value:
    """Return max-abs / 127, or 1 for zeros: `ops.quantize.calibrate`."""
    lowest = V.number(0.0) - low
    largest = code.select(high > lowest, high, lowest)
    scale = largest / V.number(float(HIGHEST))
    # Subnormal scales are coarse: the next one up, if rounding made this one too small to reach 127.
    scale = code.select(largest / scale > V.number(HIGHEST + 0.5), V.next_up(scale), scale)
    return code.select(scale > V.number(0.0), scale, V.number(1.0))


def _whole_range(code: Code, V: Vectors, high: Value, low: Value, scale: Variable, zero: Variable) -> None:
    """Set scale and zero point so that the range from low to high, zero among it, takes all 256 codes."""
    steps = V.number(float(HIGHEST - LOWEST))
    step = high / steps - low / steps  # high - low may be infinite
    step = code.select(step > V.number(0.0), step, V.number(1.0))
    scale.set(step)
    point = V.number(float(LOWEST)) - low / step
    point = code.select(point < V.number(float(HIGHEST)), point, V.number(float(HIGHEST)))
    magic = V.number(_MAGIC[V.dtype])
    zero.set((point + magic) - magic)


def _codes(
    code: Code, V: Vectors, given: bool, x: Value, columns: Value, target: Value, scale: Value, zero: Value
) -> Value:
    """Write the codes of a row; the last vector is written whole.

    With a scale that was `given` anything may come, and what is returned is NaN unless all is finite.
    """
    kind = code.vectors(code_dtype(code.target), V.lanes)
    magic = V.constant(_MAGIC[V.dtype])

    def between(value: Value, least: float, most: float) -> Value:
        value = code.select(value < V.constant(most), value, V.constant(most))
        return code.select(value > V.constant(least), value, V.constant(least))

    check = code.variable(V.zero())

    def step(first: Value, mask: Value | None) -> None:
        value = V.load(x + first * V.dtype.itemsize, mask)
        if given:
            check.set(V.fma(value, V.zero(), check.get()))  # infinity times zero is NaN
        value = value / scale
        if given:
            value = between(value, -_LIMIT, _LIMIT)
        value = between(((value + magic) - magic) + zero, float(LOWEST), float(HIGHEST))
        value = value + V.constant(float(code.target.offset))
        kind.store(V.to_integers(value, kind), target + first * kind.dtype.itemsize)

    V.each(columns, step)
    return V.total([check])


def rows(
    code: Code,
    rows: Value,
    columns: Value,
    source: Value,
    source_row: Value,
    target: Value,
    target_row: Value,
) -> None:
    """Bring rows of int8, which are codes, to where `sweep` reads them; the last vector is written whole."""
    lanes = 16
    V, kind = code.vectors(INT8, lanes), code.vectors(code_dtype(code.target), lanes)
    at_source, at_target = code.variable(code.address(source)), code.variable(code.address(target))

    def step(first: Value, mask: Value | None) -> None:
        value = V.load(at_source.get() + first, mask)
        if kind.dtype == INT16:
            value = V.extend(value, kind)
        elif code.target.offset:
            value = value + V.constant(-code.target.offset)  # modulo 256 it is the same as adding it
        kind.store(value, at_target.get() + first * kind.dtype.itemsize)

    with code.loop(rows):
        V.each(columns, step)
        at_source.set(at_source.get() + source_row)
        at_target.set(at_target.get() + target_row)


def panels(
    code: Code,
    depth: Value,
    columns: Value,
    source: Value,
    source_row: Value,
    target: Value,
    target_panel: Value,
    sums: Value,
) -> None:
    """Cut int8 rows of B into panels of groups, filled up with zeros, and sum up its columns."""
    width, group = tile(code.target, INT32)[1], code.target.group
    V, total = code.vectors(INT8, width), code.vectors(INT32)
    vectors = width // total.lanes
    ones = total.constant(0x01010101 if group == 4 else 0x00010001)
    at_target, at_sums = code.variable(code.address(target)), code.variable(code.address(sums))

    def panel(first: Value, mask: Value | None) -> None:
        at, place = code.variable(code.address(source) + first), code.variable(at_target.get())
        cells = [code.variable(total.zero()) for _ in range(vectors)]

        def step(count: int) -> None:
            lines = [V.load(at.get() + source_row * k, mask) for k in range(count)]
            lines += [V.zero()] * (group - count)
            V.store_interleaved(lines, place.get())
            for j, cell in enumerate(cells):
                cell.set(
                    total.dot_groups(
                        ones, total.load_groups(place.get() + j * total.lanes * group), cell.get()
                    )
                )
            at.set(at.get() + source_row * count)
            place.set(place.get() + width * group)

        with code.loop(depth // group):
            step(group)
        for rest in range(1, group):
            with code.when((depth % group).equals(rest)):
                step(rest)
        for j, cell in enumerate(cells):
            total.store(cell.get(), at_sums.get() + j * total.bytes)
        at_target.set(at_target.get() + target_panel)
        at_sums.set(at_sums.get() + width * INT32.itemsize)

    V.each(columns, panel)
