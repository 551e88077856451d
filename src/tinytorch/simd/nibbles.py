"""Products of floats by 4-bit weights: eight weights of a column lie in one int32, a nibble each.

A weight is (nibble - 8) * scale of its group. Few rows of A wait for B to come from memory, so what counts is
that bytes are few and that widening them keeps up: three instructions for a vector of weights, and no shift.
Nibble s is masked where it lies, which is 16^s times what it means; so A comes divided by 16^s, which is
exact. That 8 is taken away is left to the group: its sum begins at -8 times the sum of its A.
"""

from collections.abc import Mapping

from tinytorch.runtime.arrays import BFLOAT16, FLOAT32, INT32, LINE
from tinytorch.simd.build import Kernel
from tinytorch.simd.code import Code, Value, Vectors
from tinytorch.simd.product import AHEAD
from tinytorch.simd.target import Target, tile

#: Weights in an int32.
NIBBLES = 8
#: For so many rows of A at a time, the sums of a group that run side by side for each vector. Four with one
#: row would hide more latency, but spill with 16 registers: 1 x 4096 x 4096 in 1060 us, 880 with two (Zen 3).
CHAINS = {1: 2, 2: 2}


def nibble_kernels(target: Target) -> Mapping[str, Kernel]:
    """Return the kernels of products with 4-bit weights, in float32."""
    multiply = {
        f"rows{rows}{edge}": Kernel(products, rows, bool(edge)) for rows in CHAINS for edge in ("", "_edge")
    }
    return {**multiply, "widen": Kernel(widen)}


def _weights(code: Code, V: Vectors, packed: Value, number: int, in_place: bool) -> Value:
    """Return a nibble of each int32 as floats, 16^number times as large if taken `in_place`, but the last."""
    I = code.vectors(INT32)  # noqa: E741 (vectors of integers)
    if number == NIBBLES - 1:
        return I.to_floats(I.shift_down(packed, 4 * number), V)
    if in_place:
        return I.to_floats(packed & (15 << 4 * number), V)
    return I.to_floats(I.shift_down(packed, 4 * number) & 15, V)


def products(
    code: Code,
    height: int,
    masked: bool,
    groups: Value,
    blocks: Value,
    columns: Value,
    a: Value,
    a_row: Value,
    offsets: Value,
    offsets_row: Value,
    b: Value,
    scales: Value,
    c: Value,
    c_row: Value,
) -> None:
    """C[height, columns] = A @ one panel: `groups` of `blocks` of eight rows of B, each with its scales.

    A comes divided as `_weights` has it, and with one number of `offsets` for each row and group.
    """
    V, I, S = code.vectors(FLOAT32), code.vectors(INT32), code.vectors(BFLOAT16)  # noqa: E741
    vectors = tile(code.target, FLOAT32)[1] // V.lanes
    left = [code.address(a) + a_row * i for i in range(height)]
    starts = [code.address(offsets) + offsets_row * i for i in range(height)]
    at_a, at_b, at_scale = (
        code.variable(code.integer(0)),
        code.variable(code.address(b)),
        code.variable(code.address(scales)),
    )
    total = [[code.variable(V.zero()) for _ in range(vectors)] for _ in range(height)]
    part = [
        [[code.variable(V.zero()) for _ in range(CHAINS[height])] for _ in range(vectors)]
        for _ in range(height)
    ]
    with code.loop(groups) as g:
        for start, cells in zip(starts, part, strict=True):
            offset = V.broadcast(start + g * FLOAT32.itemsize)
            for chains in cells:
                chains[0].set(offset)
                for chain in chains[1:]:
                    chain.set(V.zero())
        with code.loop(blocks):
            for place in range(0, vectors * I.bytes, LINE):
                code.prefetch(at_b.get() + (place + AHEAD))
            packed = [I.load(at_b.get() + j * I.bytes) for j in range(vectors)]
            for s in range(NIBBLES):
                weights = [_weights(code, V, value, s, in_place=True) for value in packed]
                for line, cells in zip(left, part, strict=True):
                    x = V.broadcast(line + at_a.get() + s * FLOAT32.itemsize)
                    for chains, weight in zip(cells, weights, strict=True):
                        chain = chains[s % len(chains)]
                        chain.set(V.fma(weight, x, chain.get()))
            at_a.set(at_a.get() + NIBBLES * FLOAT32.itemsize)
            at_b.set(at_b.get() + vectors * I.bytes)
        for j in range(vectors):
            scale = V.load_from(S, at_scale.get() + j * S.bytes)
            for sums, cells in zip(total, part, strict=True):
                together = cells[j][0].get()
                for chain in cells[j][1:]:
                    together = together + chain.get()
                sums[j].set(V.fma(together, scale, sums[j].get()))
        at_scale.set(at_scale.get() + vectors * S.bytes)
    for i, sums in enumerate(total):
        for j, cell in enumerate(sums):
            mask = V.first(columns - j * V.lanes) if masked else None
            V.store(cell.get(), code.address(c) + c_row * i + j * V.bytes, mask)


def widen(code: Code, groups: Value, blocks: Value, b: Value, scales: Value, target: Value) -> None:
    """Write one panel as floats, as `simd.product` reads them: for many rows of A."""
    V, I, S = code.vectors(FLOAT32), code.vectors(INT32), code.vectors(BFLOAT16)  # noqa: E741
    vectors = tile(code.target, FLOAT32)[1] // V.lanes
    at_b, at_scale, place = (code.variable(code.address(x)) for x in (b, scales, target))
    with code.loop(groups):
        factors = [V.load_from(S, at_scale.get() + j * S.bytes) for j in range(vectors)]
        with code.loop(blocks):
            packed = [I.load(at_b.get() + j * I.bytes) for j in range(vectors)]
            for s in range(NIBBLES):
                for j, (value, factor) in enumerate(zip(packed, factors, strict=True)):
                    weight = (_weights(code, V, value, s, in_place=False) - V.constant(8.0)) * factor
                    V.store(weight, place.get() + (s * vectors + j) * V.bytes)
            at_b.set(at_b.get() + vectors * I.bytes)
            place.set(place.get() + NIBBLES * vectors * V.bytes)
        at_scale.set(at_scale.get() + vectors * S.bytes)
