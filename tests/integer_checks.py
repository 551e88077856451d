"""Checks of int8 products that run in the test process, or in one of their own for another target.

`python -m tests.integer_checks NOTE [fours | wide] CHECK...`, as `tests.engine_checks`.
"""

import itertools
import os
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from tests import engine_checks
from tests.engine_checks import GuardedPlaces, Places, set_targets, threads, widen_vectors
from tests.memory import Pages
from tinytorch import ops
from tinytorch.ops import integer, packed
from tinytorch.ops.nibbles import FEW_ROWS
from tinytorch.ops.quantize import reference_codes
from tinytorch.ops.registry import product_bound, rounding
from tinytorch.ops.weights.blocks import pack_blocks
from tinytorch.ops.weights.sparse import pack_sparse
from tinytorch.runtime.arrays import FLOAT32, FLOAT64, INT32, Array, DType
from tinytorch.simd import target as target_module
from tinytorch.simd.activation import ACTIVATIONS
from tinytorch.simd.target import chosen, tile

#: Every code meets every other in a product of these.
ALL_CODES = np.arange(-128, 128, dtype=np.int8)


def codes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw codes, extreme ones among them more often than by chance."""
    drawn = rng.integers(-128, 128, shape, np.int8)
    return np.where(rng.random(shape) < 0.2, np.where(drawn < 0, -128, 127), drawn).astype(np.int8)


def sizes() -> list[tuple[int, int, int]]:
    """Return shapes: every edge of the tile, of groups and of vectors."""
    rows, width = tile(chosen(), INT32)
    edges = [(m, 9, n) for m, n in itertools.product((1, rows, rows + 1, 17), range(2 * width + 2))]
    depths = [(m, k, width + 1) for m, k in itertools.product((0, 1, 3), range(70))]
    return edges + depths + [(m, 5, 3) for m in range(3 * rows + 2)] + [(2, 257, 2 * width)]


@contextmanager
def guarded_memory():
    """Let codes and panels end where nobody may touch what follows."""
    pages = Pages(8 << 20)

    def empty(shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return Pages(max(size, 1)).tail(size).view(dtype).reshape(shape)

    with (
        mock.patch.object(integer, "scratch_address", lambda size: pages.tail(size).ctypes.data),
        mock.patch.object(packed, "empty", empty),
    ):
        yield


@contextmanager
def small_caches():
    """Plan for caches so small that rows and columns are cut into several blocks."""
    with mock.patch.object(integer, "cache_bytes", lambda: (4 << 10, 8 << 10, 16 << 10)):
        integer.prepare.cache_clear()
        try:
            yield
        finally:
            integer.prepare.cache_clear()


def exact_product(a: Array, b: Array, zero_point: int = 0) -> Array:
    """Return the product in int64."""
    return (a.astype(np.int64) - zero_point) @ b.astype(np.int64)


def integer_product(a: Array, weight: packed.PackedIntegers, zero_point: int = 0) -> Array:
    """Return the exact product as `ops.matmul_integer` does."""
    out = np.empty((len(a), weight.shape[1]), np.int32 if len(weight.parts) == 1 else np.int64)
    integer.integer_product(a, weight, zero_point, out)
    return out


def check_exact(places: Places) -> None:
    """Integers are exact, and nothing outside is touched."""
    rng, zero_points = np.random.default_rng(0), itertools.cycle((0, 3, -128, 127))
    for m, k, n in sizes():
        engine_checks.doing("integers", m, k, n)
        a, b = places.put("a", codes(rng, (m, k))), places.put("b", codes(rng, (k, n)))
        weight, zero_point = packed.pack_integers(b), next(zero_points)
        assert np.array_equal(weight.unpacked(*packed.layout()), b)
        result = integer_product(a, weight, zero_point)
        assert result.dtype == INT32
        assert np.array_equal(result, exact_product(a, b, zero_point)), (m, k, n, zero_point)
        places.look()
    every = integer_product(ALL_CODES[:, None], packed.pack_integers(ALL_CODES[None]), -128)
    assert np.array_equal(every, exact_product(ALL_CODES[:, None], ALL_CODES[None], -128))


def check_blocks() -> None:
    """Several blocks of rows and columns, on any number of threads."""
    rng = np.random.default_rng(1)
    for m, k, n in ((70, 300, 200), (5, 900, 700), (900, 64, 20)):
        a, b = codes(rng, (m, k)), codes(rng, (k, n))
        with small_caches(), mock.patch.object(integer, "SERIAL", 0):
            for count in (1, 2, 3):
                with threads(count):
                    result = integer_product(a, packed.pack_integers(b), 7)
                    assert np.array_equal(result, exact_product(a, b, 7)), (m, k, n, count)


def check_long_sums() -> None:
    """No K overflows: the longest sum of a part, and several parts."""
    for k in (packed.LONGEST_PART, packed.LONGEST_PART + 1, 200_000):
        for left, right, zero_point in ((-128, -128, 127), (127, -128, -128), (-128, 127, 0)):
            a, b = np.full((2, k), left, np.int8), np.full((k, 3), right, np.int8)
            result = integer_product(a, packed.pack_integers(b), zero_point)
            assert np.all(result == (left - zero_point) * right * k)


def quantized_rows(dtype: DType, m: int, k: int, rng: np.random.Generator) -> Array:
    """Draw rows of many magnitudes: of zeros, of one sign, with halves of a step."""
    x = rng.standard_normal((m, k)) * 10.0 ** rng.integers(-6, 7, (m, 1))
    x[::5] = 0
    x[1::5] = np.abs(x[1::5])
    x[2::5] = np.round(x[2::5] / np.max(np.abs(x[2::5]), axis=1, initial=1e-9, keepdims=True) * 254) / 2
    return x.astype(dtype)


def check_layers(dtype: DType, places: Places) -> None:
    """Floats in, floats out: the codes that NumPy gets, the exact sum, scaled and rounded once."""
    rng = np.random.default_rng(2)
    rows, width = tile(chosen(), INT32)
    activations = itertools.cycle((None, "relu"))
    shapes = [(m, k, n) for m in (1, rows + 1) for k in (0, 1, 7, 8, 9, 33) for n in (1, width, width + 3)]
    for number, (m, k, n) in enumerate([*shapes, (19, 130, 3 * width)]):
        engine_checks.doing("layer", dtype, m, k, n)
        x, weight = places.put("x", quantized_rows(dtype, m, k, rng)), codes(rng, (k, n))
        factors, bias = 10.0 ** rng.uniform(-3, 3, n), rng.standard_normal(n).astype(dtype)
        bias = places.put("bias", bias if number % 3 else bias[:0])
        out = places.put("out", np.full((m, n), np.nan, dtype), writeable=True)
        activation, part = next(activations), packed.pack_integers(weight).parts[0]
        scales = np.empty(m)
        prepared = integer.prepare(dtype, dtype, (m, k), n, 1)
        done = integer.run(
            prepared, x, part, integer.padded(factors), out, bias, ACTIVATIONS[activation], scales
        )
        assert done == integer.DONE
        high = np.max(np.abs(x), axis=1, initial=0) / dtype.type(127)
        assert np.array_equal(scales, np.where(high > 0, high, 1))
        exact = exact_product(reference_codes(x, scales[:, None]), weight) * scales[:, None] * factors
        exact = exact + (bias.astype(np.float64) if bias.size else 0)
        exact = np.maximum(exact, 0) if activation else exact
        # float64: two products and a sum, each rounded; float32: those and one rounding more.
        size = np.abs(exact) + (np.abs(bias.astype(np.float64)) if bias.size else 0)
        assert np.all(np.abs(out - exact) <= 4 * np.finfo(dtype).eps * size), (dtype, m, k, n)
        places.look()


def check_whole_range(dtype: DType) -> None:
    """A zero point for each row: no value is further than half a step from what its code says."""
    rng = np.random.default_rng(3)
    x = quantized_rows(dtype, 40, 50, rng)
    x[3::7] += np.abs(x[3::7]).max(axis=1, keepdims=True)  # one-sided
    x[4::7] = x[4::7, :1]  # constant
    identity = packed.pack_integers(np.eye(50, dtype=np.int8)).parts[0]
    out, scales, shifts = np.empty((40, 50), dtype), np.empty(40), np.empty(40, np.int32)
    prepared = integer.prepare(dtype, dtype, (40, 50), 50, 1)
    ones, none = integer.padded(np.ones(50)), np.empty(0, dtype)
    assert integer.run(prepared, x, identity, ones, out, none, 0, scales, shifts, 1) == integer.DONE
    points = -shifts - chosen().offset
    assert np.all((points >= -128) & (points <= 127))
    assert np.all(np.abs(out - x) <= scales[:, None] * (0.5 + 1e-4))
    reach = np.maximum(x.max(axis=1), 0).astype(np.float64) - np.minimum(x.min(axis=1), 0)
    assert np.allclose(scales, np.where(reach > 0, reach / 255, 1), rtol=1e-6)


def check_given_scales(dtype: DType) -> None:
    """A scale and a zero point that are given: what does not fit saturates, as in NumPy."""
    rng = np.random.default_rng(4)
    x, weight = (rng.standard_normal((9, 37)) * 100).astype(dtype), codes(rng, (37, 21))
    x[0, :3] = np.array([3e38, -3e38, 1e5], dtype)
    scale = float(dtype.type(0.37))
    for zero_point in (0, -20, 127):
        out, none = np.empty((9, 21), dtype), np.empty(0, dtype)
        prepared = integer.prepare(dtype, dtype, x.shape, 21, 1, True)
        part, ones = packed.pack_integers(weight).parts[0], integer.padded(np.ones(21))
        scales = np.full(9, scale)
        done = integer.run(prepared, x, part, ones, out, none, 0, scales, None, zero_point)
        assert done == integer.DONE
        rounded = np.rint(np.clip(x, -1e6, 1e6) / dtype.type(scale)) + zero_point
        exact = exact_product(np.clip(rounded, -128, 127), weight, zero_point) * scale
        assert np.all(np.abs(out - exact) <= 4 * np.finfo(dtype).eps * np.abs(exact))


def check_not_finite(dtype: DType) -> None:
    """NaN and infinity are found wherever they are, and nothing is written."""
    part = packed.pack_integers(np.ones((67, 5), np.int8)).parts[0]
    prepared, none = integer.prepare(dtype, dtype, (4, 67), 5, 1), np.empty(0, dtype)
    for value, k in itertools.product((np.nan, np.inf, -np.inf), range(67)):
        x, out = np.ones((4, 67), dtype), np.full((4, 5), 7, dtype)
        x[k % 4, k] = value
        done = integer.run(prepared, x, part, integer.padded(np.ones(5)), out, none)
        assert done == integer.NOT_FINITE
        static = integer.prepare(dtype, dtype, (4, 67), 5, 1, True)
        done = integer.run(static, x, part, integer.padded(np.ones(5)), out, none, scales=np.ones(4))
        assert done == integer.NOT_FINITE
        assert np.all(out == 7)


def check_weight_only(dtype: DType, places: Places) -> None:
    """Floats by int8: the sum in the dtype of the floats, scaled and finished."""
    rng = np.random.default_rng(5)
    rows, width = tile(chosen(), dtype)
    kinds = itertools.cycle((None, "relu"))
    shapes = [(m, 9, n) for m in (1, 2, 3, rows + 1, 17) for n in range(2 * width + 2)]
    shapes += [(m, k, width + 1) for m in (0, 1, 4) for k in range(20)]
    for number, (m, k, n) in enumerate([*shapes, (1, 300, 5 * width), (40, 300, 3 * width + 1)]):
        engine_checks.doing("weight only", dtype, m, k, n)
        weight = ops.pack_weight(rng.standard_normal((k, n)).astype(np.float32), "int8", weight_only=True)
        weight = replace(weight, panels=places.put("panels", weight.panels))
        x = places.put("x", rng.standard_normal((m, k)).astype(dtype))
        bias, activation = rng.standard_normal(n).astype(dtype) if number % 3 else None, next(kinds)
        out = places.put("out", np.full((m, n), np.nan, dtype), "rows apart", writeable=True)
        assert ops.linear(x, weight, bias, activation, out=out) is out
        plain, scales = weight.unpacked().astype(dtype), weight.scales.astype(np.float64)
        offset = 0 if bias is None else bias.astype(np.float64)
        exact = (x.astype(np.float64) @ plain) * scales + offset
        bound = product_bound(x, plain, dtype, k + 1) * scales + 3 * rounding(
            np.abs(exact) + np.abs(offset), dtype
        )
        engine_checks.expect(
            out, np.maximum(exact, 0) if activation else exact, bound, "weight only", m, k, n
        )
        places.look()


def check_int4(group_size: int, places: Places) -> None:
    """Floats by 4-bit codes: few rows as they come, many by way of floats."""
    rng = np.random.default_rng(6)
    width, kinds = tile(chosen(), FLOAT32)[1], itertools.cycle((None, "relu"))
    shapes = [(m, 40, n) for m in (1, 2, 3) for n in range(2 * width + 2)]
    shapes += [
        (m, k, width + 1)
        for m in (0, 1, FEW_ROWS, FEW_ROWS + 1)
        for k in (0, 1, group_size, 2 * group_size + 5)
    ]
    for number, (m, k, n) in enumerate([*shapes, (1, 300, 20 * width), (40, 300, 3 * width + 1)]):
        engine_checks.doing("int4", group_size, m, k, n)
        weight = ops.pack_weight(rng.standard_normal((k, n)), "int4", group_size=group_size)
        panels, scales = places.put("panels", weight.data.panels), places.put("scales", weight.data.scales)
        weight = replace(weight, data=replace(weight.data, panels=panels, scales=scales))
        bias, activation = rng.standard_normal(n) if number % 3 else None, next(kinds)
        for dtype in (FLOAT32, FLOAT64):
            x, offset = (
                rng.standard_normal((m, k)).astype(dtype),
                None if bias is None else bias.astype(dtype),
            )
            out = places.put("out", np.full((m, n), np.nan, dtype), "rows apart", writeable=True)
            assert ops.linear(x, weight, offset, activation, out=out) is out
            plain, moved = weight.data.values(), 0 if offset is None else offset.astype(np.float64)
            exact = x.astype(np.float64) @ plain + moved
            # The sum is one of codes from 0 to 15, from which that of eights is taken away.
            steps = np.repeat(weight.data.codes()[1].astype(np.float64), group_size, axis=0)[:k]
            bound = product_bound(x, 23 * steps, dtype, k + 2)
            bound = bound + 3 * rounding(np.abs(exact) + np.abs(moved), dtype)
            expected = np.maximum(exact, 0) if activation else exact
            engine_checks.expect(out, expected, bound, "int4", group_size, m, k, n, dtype)
            places.look()


def check_pruned(dtype: DType, places: Places) -> None:
    """What pruning leaves: blocks and single numbers, at every edge of their tiles."""
    rng, lanes = np.random.default_rng(7), chosen().lanes(dtype)
    rows = (1, 2, lanes, lanes + 1, 4 * lanes + 1, 13)
    shapes = [(m, 24, n) for m in rows for n in (1, 15, 16, 17, 70)] + [
        (m, k, 33) for m in rows for k in range(10)
    ]
    for m, k, n in shapes:
        weight = rng.standard_normal((k, n)).astype(dtype)
        weight[np.add.outer(np.arange(k) // 4, np.arange(n) // 16) % 3 > 0] = 0
        x = places.put("x", rng.standard_normal((m, k)).astype(dtype))
        out = places.put("out", np.full((m, n), np.nan, dtype), "rows apart", writeable=True)
        for kept in (pack_blocks(weight), pack_sparse(weight)):
            engine_checks.doing("pruned", kept.kind, dtype, m, k, n)
            placed = {name: places.put(name, array) for name, array in kept.arrays().items()}
            moved = replace(kept, **placed)
            assert ops.linear(x, moved, out=out) is out
            exact = x.astype(np.float64) @ weight
            engine_checks.expect(out, exact, product_bound(x, weight, dtype, k + 1), kept.kind, m, k, n)
            places.look()


def check_all(guarded: bool = False) -> None:
    """Run every check."""
    kinds = [GuardedPlaces(at_end) for at_end in (True, False)] if guarded else [Places()]
    for places in kinds:
        with guarded_memory() if guarded else nullcontext():
            check_exact(places)
            for dtype in (FLOAT32, FLOAT64):
                check_layers(dtype, places)
                check_weight_only(dtype, places)
                check_pruned(dtype, places)
            check_int4(32, places)
    check_blocks()
    check_long_sums()
    for dtype in (FLOAT32, FLOAT64):
        check_whole_range(dtype)
        check_given_scales(dtype)
        check_not_finite(dtype)


def take_fours() -> None:
    """Let every target multiply groups of four bytes, by shifts where it has no instruction for them."""
    set_targets(*(replace(target, int8_dot=True) for target in target_module.TARGETS))


MODES = {"fours": take_fours, "wide": widen_vectors}


def main(note: str, *modes: str) -> None:
    """Run all checks in a mode."""
    with Path(note).open("wb") as file:
        engine_checks.note_in(file.fileno())
        for mode in modes:
            MODES[mode]()
        check_all(guarded=os.name == "posix")
    print(chosen().name)


if __name__ == "__main__":
    main(*sys.argv[1:])
