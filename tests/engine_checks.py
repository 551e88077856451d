"""What the vector engine must do on any target: every size, nothing touched outside, NaN and inf in place.

`tests/ops/test_engine.py` runs these checks for the best target. `python -m tests.engine_checks NOTE CHECKS`
runs them in a process of its own: for the target that TINYTORCH_TARGET names, and because a guard page ends
the process that touches it. The file NOTE then says what was being computed.
"""

import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.memory import LAYOUTS, Array, DType, Framed, Pages
from tests.ops.test_linear import EXACT
from tinytorch import get_num_threads, ops, set_num_threads
from tinytorch.ops.gemm import BLOCKED, DOTTED, OUTER, STREAMED, Plan
from tinytorch.ops.plan import prepare, prepare_contiguous, prepare_packed
from tinytorch.ops.registry import draw, mismatch, operations, product_bound, rounding
from tinytorch.runtime.arrays import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, INT64, LINE
from tinytorch.simd import build
from tinytorch.simd import target as target_module
from tinytorch.simd.target import chosen, tile

FLOATS = [FLOAT32, FLOAT64]
#: What kernels multiply: the dtype of A and of the result, and that of B.
PAIRS = [(FLOAT32,) * 2, (FLOAT64,) * 2, (INT64,) * 2, (FLOAT32, FLOAT16), (FLOAT32, BFLOAT16)]
PATHS = {BLOCKED, STREAMED, OUTER, DOTTED}
MATMUL, CONV2D = operations()["matmul"], operations()["conv2d"]
# The package's names for these modules are taken by the functions in them.
matmul_module, product_module, packed_module, conv2d_module, plan_module = (
    sys.modules[f"tinytorch.ops.{name}"] for name in ("matmul", "product", "packed", "conv2d", "plan")
)

_note = -1


def note_in(descriptor: int) -> None:
    """Have notes left in this file."""
    global _note  # noqa: PLW0603
    _note = descriptor


def doing(*what: object) -> None:
    """Leave a note of what comes next, for who finds the process dead."""
    if _note >= 0:
        os.pwrite(_note, " ".join(map(str, what)).ljust(200).encode(), 0)


def planned(a: Array, b: Array, threads: int = 1) -> Plan:
    """Return the plan of a product of two matrices that takes no shortcut for small ones."""
    c = (b.shape[1] * a.itemsize, a.itemsize)
    right = None if b.dtype == a.dtype else b.dtype
    prepared = prepare(a.dtype, a.shape, b.shape[1], a.strides, b.strides, c, threads, right=right)
    return Plan(*prepared.words.tolist())


def unset(shape: tuple[int, ...], dtype: DType) -> Array:
    """Return numbers for a result to be written over: one that is read, or left there, will show."""
    return np.full(shape, np.nan if dtype.kind == "f" else 0x5A5A5A5A5A5A, dtype)


def expect(result: Array, exact: Array, bound: Array, *what: object) -> None:
    """Compare a result to what it must be."""
    wrong = mismatch(result, exact, np.broadcast_to(bound, exact.shape))
    assert wrong is None, f"{' '.join(map(str, what))}: {wrong}"


# Where the checks put what they compute with


class Places:
    """Operands and results between bytes that nobody may write."""

    tries, first_turn = 4, 0  # layouts for each size, and which come first

    def __init__(self) -> None:
        self._around: dict[str, Framed | Pages] = {}

    def put(self, name: str, values: Array, layout: str = "C", writeable: bool = False) -> Array:
        """Return an array of these values; there is one of each name at a time."""
        self._around[name] = frame = Framed(values.shape, values.dtype, layout)
        frame.array[...] = values
        return frame.array

    def look(self) -> None:
        """See that nothing around the arrays was written."""
        for name, around in self._around.items():
            assert around.intact(), f"bytes beside {name} were written"


class GuardedPlaces(Places):
    """The same against a page that nobody may read, either: each ends where one begins, or the other way."""

    def __init__(self, at_end: bool) -> None:
        super().__init__()
        self._pages: dict[str, Pages] = {}
        self._at_end = at_end
        self.tries, self.first_turn = 2, int(at_end)

    def put(self, name: str, values: Array, layout: str = "C", writeable: bool = False) -> Array:
        """Return an array of these values; there is one of each name at a time."""
        if name not in self._pages:
            self._around[name] = self._pages[name] = Pages(4 << 20)
        return self._pages[name].place(values, layout, self._at_end, writeable)


@contextmanager
def guarded_memory() -> Iterator[None]:
    """Let the memory that is packed into end where nobody may touch what follows."""
    pages = Pages(8 << 20)

    def address(size: int) -> int:
        return pages.tail(size).ctypes.data

    def scratch(threads: int, elements: int, dtype: DType) -> Array:
        row = -(-elements * dtype.itemsize // LINE) * LINE
        return pages.tail(threads * row).view(dtype).reshape(threads, row // dtype.itemsize)

    def empty(shape: tuple[int, ...], dtype: DType) -> Array:
        size = math.prod(shape) * dtype.itemsize
        return Pages(max(size, 1)).tail(size).view(dtype).reshape(shape)

    with (
        mock.patch.object(product_module, "scratch_address", address),
        mock.patch.object(conv2d_module, "scratch", scratch),
        mock.patch.object(packed_module, "aligned", empty),
    ):
        yield


@contextmanager
def small_caches(dtype: DType) -> Iterator[None]:
    """Plan for caches so small that a matrix of some hundred numbers a side is cut in every direction."""
    _, width = tile(chosen(), dtype)
    least = 192 * width * dtype.itemsize * 4 // 3  # L1 for the smallest KC that there is
    with mock.patch.object(plan_module, "cache_bytes", lambda: (least, 8 << 10, 16 << 10)):
        forget_plans()
        try:
            yield
        finally:
            forget_plans()


@contextmanager
def few_rows_streamed(streamed: bool = True) -> Iterator[None]:
    """Stream a B for few rows although it is small, where that is told from one that is read directly."""
    if not streamed:
        yield
        return
    with mock.patch.object(plan_module, "WIDE", 1 << 30):
        forget_plans()
        try:
            yield
        finally:
            forget_plans()


def forget_plans() -> None:
    """Let the next product be planned anew."""
    for planner in (prepare, prepare_contiguous, prepare_packed):
        planner.cache_clear()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let kernels use so many threads."""
    before = get_num_threads()
    set_num_threads(count)
    try:
        yield
    finally:
        set_num_threads(before)


# Checks


def sizes(dtype: DType) -> Iterator[tuple[int, int, int]]:
    """Yield (M, K, N): each from 0 to 2 NR + 1, with values of the other two that lead down every path."""
    rows, width = tile(chosen(), dtype)
    lanes = chosen().lanes(dtype)
    sweep = range(2 * width + 2)
    yield from itertools.product((0, 1, 5), repeat=3)
    for m in sweep:
        for k, n in (
            (1, 1),
            (3, width + 1),
            (lanes + 1, 2),
            (lanes, lanes // 2),
            (7, width),
            (9, 2 * width + 1),
        ):
            yield m, k, n
    for k in sweep:
        for m, n in ((1, 1), (1, width + 1), (2, 3), (4, width), (rows + 1, width - 1), (17, width + 3)):
            yield m, k, n
    for n in sweep:
        for m, k in ((1, 1), (1, 6), (3, lanes + 1), (rows, 4), (2 * rows + 1, 9), (17, lanes + 2)):
            yield m, k, n


def check_products(dtype: DType, right: DType, places: Places) -> None:
    """Products of all sizes, with all layouts of both sides and of the result, on all paths."""
    rng = np.random.default_rng(0)
    names, turn, paths = list(LAYOUTS), places.first_turn, set()
    for m, k, n in sizes(dtype):
        values = draw(rng, (m, k), dtype), draw(rng, (k, n), right)
        exact, bound = MATMUL.reference(*values), MATMUL.bound(*values)
        for number in range(places.tries):
            turn += 1
            # C order has a shortcut, so it is always tried; then all combinations in turn.
            layouts = [names[turn // 7**i % 7 if number else 0] for i in range(3)]
            what = dtype, right, (m, k, n), layouts
            doing("matmul", *what)
            a, b = (places.put(*item) for item in zip("ab", values, layouts[:2], strict=True))
            out = places.put("out", unset((m, n), dtype), layouts[2], writeable=True)
            assert ops.matmul(a, b, out=out) is out
            expect(out, exact, bound, "matmul", *what)
            places.look()
            # This rung has no shortcut: small products, too, take the path that is planned for them.
            with few_rows_streamed(number % 2 == 0):
                doing("vectorized", *what)
                expect(matmul_module.vectorized(a, b), exact, bound, "vectorized", *what)
                if exact.size:
                    paths.add(planned(a, b).path)
    assert paths == PATHS


def check_stacks(dtype: DType, right: DType, places: Places) -> None:
    """Stacks of matrices that broadcast, in all layouts."""
    rng = np.random.default_rng(1)
    rows, width = tile(chosen(), dtype)
    batches = [
        ((3,), (3,)),
        ((1,), (4,)),
        ((2, 1), (3,)),
        ((), (2, 2)),
        ((2, 2), ()),
        ((0,), (1,)),
        ((1,), (1,)),
    ]
    shapes = [(2, 3, width + 1), (rows + 1, 5, 3), (1, 9, 2 * width), (18, 7, width + 1), (3, 0, 2)]
    layouts = itertools.cycle(itertools.product(LAYOUTS, repeat=2))
    for (batch_a, batch_b), (m, k, n) in itertools.product(batches, shapes):
        a, b = draw(rng, (*batch_a, m, k), dtype), draw(rng, (*batch_b, k, n), right)
        exact, bound = MATMUL.reference(a, b), MATMUL.bound(a, b)
        for layout_a, layout_b in itertools.islice(layouts, 6):
            what = "stacks", dtype, right, a.shape, b.shape, layout_a, layout_b
            doing(*what)
            out = places.put("out", unset(exact.shape, dtype), layout_b, writeable=True)
            ops.matmul(places.put("a", a, layout_a), places.put("b", b, layout_b), out=out)
            expect(out, exact, bound, *what)
            places.look()


def check_linear(dtype: DType, right: DType, places: Places) -> None:
    """Dense layers of all widths, weights packed and not, with bias and activation."""
    rng = np.random.default_rng(2)
    rows, width = tile(chosen(), dtype)
    activations = itertools.cycle(EXACT)
    names = itertools.cycle(itertools.product(LAYOUTS, repeat=3))
    # Up to three rows take several panels at a time, up to four of them.
    columns = [*range(2 * width + 2), 4 * width - 1, 4 * width, 4 * width + 1, 9 * width + 3]
    shapes = [*itertools.product((1, 2, 3, rows + 1, 18), (6,), columns)]
    shapes += [*itertools.product((0, 1, 2, 3, rows), (0, 1, 2, 3, 4, 5, 37), (4 * width + 2,))]
    for number, (m, k, n) in enumerate(shapes):
        x, weight, bias = draw(rng, (m, k), dtype), draw(rng, (k, n), right), draw(rng, (n,), dtype)
        activation, (layout_x, layout_weight, layout_out) = next(activations), next(names)
        offset = bias.astype(np.float64) if number % 3 else np.zeros(n)
        before = x.astype(np.float64) @ weight.astype(np.float64) + offset
        exact = EXACT[activation](before)
        # As in `tests/ops/test_linear.py`: no activation is steeper than 1.2; each rounds a few times itself.
        bound = 1.2 * (product_bound(x, weight, dtype, k + 1) + rounding(np.abs(offset), dtype))
        bound = bound + 8 * rounding(np.abs(exact) + np.abs(before), dtype)
        what = "linear", dtype, right, (m, k, n), activation, layout_x, layout_weight, layout_out
        doing(*what)
        rows_of, matrix = places.put("x", x, layout_x), places.put("weight", weight, layout_weight)
        # Only one that is contiguous is read where it lies.
        offsets = places.put("bias", bias, "C" if number % 3 == 1 else "backwards") if number % 3 else None
        for form in (matrix, ops.pack_weight(matrix)):
            out = places.put("out", unset((m, n), dtype), layout_out, writeable=True)
            ops.linear(rows_of, form, offsets, activation, out=out)
            expect(out, exact, bound, *what, "plain" if form is matrix else "packed")
            places.look()


def check_conv2d(dtype: DType, places: Places) -> None:
    """Convolutions of small images, and of one that takes several tiles and blocks."""
    rng = np.random.default_rng(3)
    _, width = tile(chosen(), dtype)
    shapes = [*CONV2D.shapes, (1, 30, 9, 2 * width + 3, 7, 3, 3, 1, 1), (2, 3, 5, width, 5, 1, 2, 2, 0)]
    for shape in shapes:
        inputs = CONV2D.inputs(rng, shape, dtype)
        exact, bound = CONV2D.reference(*inputs), CONV2D.bound(*inputs)
        for layout in LAYOUTS:
            what = "conv2d", dtype, shape, layout
            doing(*what)
            arrays = (
                places.put(name, array, layout)
                for name, array in zip(("x", "weight", "bias"), inputs[:3], strict=True)
            )
            out = places.put("out", unset(exact.shape, dtype), writeable=True)
            ops.conv2d(*arrays, *inputs[3:], out=out)
            expect(out, exact, bound, *what)
            places.look()


def check_blocks(dtype: DType, right: DType, places: Places) -> None:
    """Products that are cut into several blocks in every direction: along the sum, rows and columns."""
    rng = np.random.default_rng(4)
    rows, width = tile(chosen(), dtype)
    with small_caches(dtype):
        # From 129 rows on A is packed, too; with less it is, if its rows are not contiguous.
        for m, k, n in ((5 * rows + 3, 500, 5 * width + 3), (150, 390, 261)):
            values, bias = (draw(rng, (m, k), dtype), draw(rng, (k, n), right)), draw(rng, (n,), dtype)
            exact, bound = MATMUL.reference(*values), MATMUL.bound(*values)
            for layouts in zip(LAYOUTS, reversed(LAYOUTS), strict=True):
                a, b = (places.put(*item) for item in zip("ab", values, layouts, strict=True))
                plan = planned(a, b)
                assert plan.path == BLOCKED
                assert min(k - plan.KC, m - plan.MC, n - plan.NC) > 0
                what = dtype, right, (m, k, n), layouts
                doing("blocks", *what)
                expect(matmul_module.vectorized(a, b), exact, bound, *what)
                if dtype in FLOATS:
                    # Bias and activation once, at the last block of the sum.
                    result = ops.linear(a, ops.pack_weight(b), bias, "relu")
                    wide = bound + rounding(np.abs(exact) + np.abs(bias), dtype)
                    expect(result, np.maximum(exact + bias, 0), wide, "packed", *what)


def check_unaligned(dtype: DType, right: DType) -> None:
    """Operands and results whose numbers lie across the boundaries of their type."""
    rng = np.random.default_rng(5)
    _, width = tile(chosen(), dtype)
    dtypes = dtype, right, dtype
    for m, k, n in ((1, 1, 1), (3, 5, 2), (5, 7, width + 1), (17, width, 2 * width + 1), (2, 4, width)):
        shapes = (m, k), (k, n), (m, n)
        values = draw(rng, (m, k), dtype), draw(rng, (k, n), right)
        exact, bound = MATMUL.reference(*values), MATMUL.bound(*values)
        for odd, layout in itertools.product(itertools.product((0, 1), repeat=3), LAYOUTS):
            frames = [Framed(shape, d, layout, o) for shape, d, o in zip(shapes, dtypes, odd, strict=True)]
            a, b, out = (frame.array for frame in frames)
            a[...], b[...], out[...] = *values, unset((m, n), dtype)
            assert tuple(x.ctypes.data % x.itemsize for x in (a, b, out)) == odd
            what = dtype, right, (m, k, n), f"{odd} bytes off", layout
            assert ops.matmul(a, b, out=out) is out
            expect(out, exact, bound, *what)
            if dtype in FLOATS:
                expect(ops.linear(a, ops.pack_weight(b)), exact, bound, "packed", *what)
            assert all(frame.intact() for frame in frames)


def check_nonfinite(dtype: DType, right: DType) -> None:
    """NaN and inf at every place of small matrices, on every path: in the result where IEEE 754 has them.

    Matrices with zeros, which make NaN of inf; the last columns and rows, beside which panels are filled up.
    """
    rng = np.random.default_rng(6)
    rows, width = tile(chosen(), dtype)
    lanes = chosen().lanes(dtype)
    paths = set()
    for (m, k, n), layouts in (
        ((rows + 1, 5, width - 1), ("C", "C")),
        ((rows, 3, 2), ("transposed", "strided")),
        ((17, 3, width + 1), ("C", "C")),
        ((3, 7, width + 1), ("C", "C")),
        ((2, 3, width + 2), ("C", "C")),
        ((2, lanes + 1, 5), ("C", "transposed")),
        ((5, lanes + 1, 1), ("C", "C")),
        ((3, 2, width + 1), ("backwards", "transposed")),
    ):
        dtypes = dtype, right
        frames = [Framed(*item) for item in zip(((m, k), (k, n)), dtypes, layouts, strict=True)]
        a, b = (frame.array for frame in frames)
        for array in (a, b):
            array[...] = draw(rng, array.shape, dtype) * (rng.random(array.shape) < 0.8)
        # Times zero an inf is NaN: at least once for every place that there is.
        a[-1], b[:, -1] = 0, 0
        with few_rows_streamed():
            paths.add(planned(a, b).path)
        for name, array in (("A", a), ("B", b)):
            for place, value in itertools.product(np.ndindex(array.shape), (np.nan, np.inf, -np.inf)):
                before = array[place]
                array[place] = value
                # Every product and sum as IEEE 754 has them, with no library between.
                with np.errstate(invalid="ignore"):
                    exact = (a[:, :, None].astype(np.float64) * b.astype(np.float64)).sum(1)
                bound = product_bound(a, b, dtype, k)
                what = dtype, right, (m, k, n), layouts, f"{value} at {place} of {name}"
                doing(*what)
                expect(ops.matmul(a, b), exact, bound, "matmul", *what)
                for streamed in (False, True):
                    with few_rows_streamed(streamed):
                        expect(matmul_module.vectorized(a, b), exact, bound, "vectorized", streamed, *what)
                expect(ops.linear(a, ops.pack_weight(b)), exact, bound, "packed", *what)
                array[place] = before
    assert paths == PATHS


def check_every_half(right: DType) -> None:
    """Every bit pattern of a half type is widened to the number that it is: as it lies, and packed."""
    half = np.arange(1 << 16, dtype=np.uint16).view(right)
    with np.errstate(invalid="ignore"):  # some of the NaN are signalling ones
        exact = half.astype(np.float64)
    for rows in (1, 20):
        ones = np.ones((rows, 1), FLOAT32)
        for form in (half[None], ops.pack_weight(half[None])):
            result = ops.linear(ones, form)
            assert np.array_equal(result, np.broadcast_to(exact, result.shape), equal_nan=True)


def check_nonfinite_conv2d(dtype: DType) -> None:
    """The same for a convolution, whose border of zeros makes NaN of an inf in the weight."""
    rng = np.random.default_rng(7)
    x, weight, bias, stride, padding = CONV2D.inputs(rng, (1, 2, 5, 4, 3, 3, 3, 1, 1), dtype)
    for array in (x, weight, bias):
        for place, value in itertools.product(np.ndindex(array.shape), (np.nan, np.inf, -np.inf)):
            before = array[place]
            array[place] = value
            with np.errstate(invalid="ignore"):
                exact = CONV2D.reference(x, weight, bias, stride, padding)
                bound = CONV2D.bound(x, weight, bias, stride, padding)
            result = ops.conv2d(x, weight, bias, stride, padding)
            expect(result, exact, bound, dtype, value, "at", place)
            array[place] = before


def check_threads(dtype: DType, right: DType) -> None:
    """Bitwise the same result on any number of threads, on every path."""
    for streamed in (False, True):
        with few_rows_streamed(streamed):
            paths = _check_threads(dtype, right)
    assert paths == PATHS


def _check_threads(dtype: DType, right: DType) -> set[int]:
    rng = np.random.default_rng(8)
    calls: dict[str, Callable[[], Any]] = {}
    paths = set()
    for m, k, n, layout in (
        (130, 300, 520, "C"),
        (700, 90, 20, "C"),
        (300, 310, 70, "transposed"),
        (8, 300, 700, "C"),
        (1, 700, 801, "C"),
        (600, 3, 601, "C"),
        (3, 701, 400, "transposed"),
        (901, 400, 2, "C"),
    ):
        a, b = draw(rng, (m, k), dtype), draw(rng, (k, n), right)
        frame = Framed(b.shape, right, layout)
        frame.array[...] = b
        plan = planned(a, frame.array, threads=8)
        assert plan.threads > 1, (m, k, n)
        paths.add(plan.path)
        calls[f"{(m, k, n)} {layout}"] = lambda a=a, frame=frame: ops.matmul(a, frame.array)
        if dtype in FLOATS:
            packed, bias = ops.pack_weight(b), draw(rng, (n,), dtype)
            calls[f"{(m, k, n)} packed"] = lambda a=a, packed=packed, bias=bias: ops.linear(
                a, packed, bias, "gelu"
            )
    stack_a, stack_b = draw(rng, (6, 40, 60), dtype), draw(rng, (6, 60, 70), right)
    calls["stacks"] = lambda: ops.matmul(stack_a, stack_b)
    x, weight, bias, *steps = CONV2D.inputs(rng, (3, 8, 30, 30, 9, 3, 3, 1, 1), dtype)
    calls["conv2d"] = lambda: ops.conv2d(x, weight, bias, *steps)
    first = {}
    with threads(1):
        for name, call in calls.items():
            first[name] = call()
    for count in (2, 3, 8):
        with threads(count):
            for name, call in calls.items():
                doing("threads", count, dtype, right, name)
                same = np.array_equal(call().view(np.uint8), first[name].view(np.uint8))
                assert same, f"{name} of {dtype} by {right} differs on {count} threads"
    return paths


def check_in_pairs(dtype: DType, right: DType) -> None:
    """Products of bfloat16 by bfloat16 in pairs along the sum: every way to them, and every edge."""
    for places in (Places(), *(GuardedPlaces(at_end) for at_end in (True, False) if os.name == "posix")):
        with guarded_memory() if isinstance(places, GuardedPlaces) else nullcontext():
            _check_in_pairs(dtype, right, places)
            with small_caches(FLOAT32):
                _check_in_pairs(dtype, right, places, [(39, 400, 150), (140, 403, 77)])


def _check_in_pairs(
    dtype: DType, right: DType, places: Places, shapes: list[tuple[int, int, int]] | None = None
) -> None:
    rng = np.random.default_rng(9)
    rows, width = tile(chosen(), FLOAT32)
    sweep = range(2 * width + 2)
    layouts = itertools.cycle(itertools.product(LAYOUTS, repeat=2))
    for m, k, n in shapes or [(17, k, width + 1) for k in sweep] + [(16 + rows, 5, n) for n in sweep]:
        values, bias = (draw(rng, (m, k), dtype), draw(rng, (k, n), right)), draw(rng, (n,), dtype)
        exact, bound = MATMUL.reference(*values), MATMUL.bound(*values)
        shifted = np.maximum(exact + bias.astype(np.float64), 0)
        wide = bound + 2 * rounding(np.abs(exact) + np.abs(bias.astype(np.float64)), dtype)
        for layout_a, layout_b in itertools.islice(layouts, 8):
            what = "in pairs", (m, k, n), layout_a, layout_b
            doing(*what)
            a, b = places.put("a", values[0], layout_a), places.put("b", values[1], layout_b)
            steps = a.strides, b.strides, (n * FLOAT32.itemsize, FLOAT32.itemsize)
            plan = Plan(*prepare(FLOAT32, a.shape, n, *steps, 1, right=right, left=dtype).words.tolist())
            assert plan.pair_up
            assert shapes is None or min(k - plan.KC, n - plan.NC) > 0
            out = places.put("out", unset((m, n), FLOAT32).astype(dtype), writeable=True)
            assert ops.matmul(a, b, out=out) is out
            expect(out, exact, bound, *what)
            for form in (b, ops.pack_weight(b)):
                expect(ops.linear(a, form, bias, "relu"), shifted, wide, *what, "layer")
                # In float64 the operands are widened: no instruction multiplies them.
                expect(ops.linear(a, form, bias.astype(np.float64), "relu"), shifted, wide, *what, "float64")
            places.look()
        stack = [np.stack([value, value[::-1]]) for value in values]
        expect(ops.matmul(*stack), MATMUL.reference(*stack), MATMUL.bound(*stack), "stack", (m, k, n))
        if k and n and not shapes:
            check_one_nonfinite(*values)
        elif shapes:
            with threads(1):
                alone = ops.matmul(*values)
            with threads(3):
                assert np.array_equal(ops.matmul(*values).view(np.uint16), alone.view(np.uint16)), (m, k, n)


def check_one_nonfinite(a: Array, b: Array) -> None:
    """NaN and inf in the last row and column of either side, beside which panels and pairs are filled up."""
    for array, value in itertools.product((0, 1), (np.nan, np.inf)):
        sides = [a.copy(), b.copy()]
        sides[array][-1, -1] = value
        with np.errstate(invalid="ignore"):
            exact = (sides[0][:, :, None].astype(np.float64) * sides[1].astype(np.float64)).sum(1)
        expect(ops.matmul(*sides), exact, MATMUL.bound(*sides), "in pairs", value, a.shape, b.shape)


# As a program


def check_all(dtype: DType, right: DType, places: Places) -> None:
    """Whatever there is to be put somewhere."""
    check_products(dtype, right, places)
    check_stacks(dtype, right, places)
    check_blocks(dtype, right, places)
    if dtype in FLOATS:
        check_linear(dtype, right, places)
    if dtype == right:
        check_conv2d(dtype, places)


def check_framed(dtype: DType, right: DType) -> None:
    """All of it between bytes that must stay."""
    check_all(dtype, right, Places())


def check_guarded(dtype: DType, right: DType) -> None:
    """All of it against guard pages, at either end, and what is packed against one, too."""
    with guarded_memory():
        # Half types have loads of their own, but none that begins elsewhere.
        for at_end in (True, False) if dtype == right else (True,):
            check_all(dtype, right, GuardedPlaces(at_end))


def check_special(dtype: DType, right: DType) -> None:
    """NaN and inf, for dtypes that have them."""
    if dtype in FLOATS:
        check_nonfinite(dtype, right)
    if dtype == right and dtype in FLOATS:
        check_nonfinite_conv2d(dtype)
    if dtype != right:
        check_every_half(right)


CHECKS = {
    "framed": check_framed,
    "guarded": check_guarded,
    "special": check_special,
    "unaligned": check_unaligned,
    "threads": check_threads,
    "in_pairs": check_in_pairs,
}


def pair_up() -> None:
    """Let every target multiply bfloat16 in pairs, by its own instructions where it has none for that."""
    set_targets(*(replace(target, bfloat16_dot=True) for target in target_module.TARGETS))


def widen_vectors() -> None:
    """Let there be one target, with the vectors and tiles of AVX-512, which LLVM cuts up for this CPU."""
    best = target_module.available()[0]
    longest = max(target_module.TARGETS, key=lambda target: target.vector_bytes)
    tiles = {field: getattr(longest, field) for field in ("vector_bytes", "registers", "rows", "vectors")}
    set_targets(replace(best, name="wide", **tiles))


def set_targets(*targets: target_module.Target) -> None:
    """Put others in the place of the targets that there are."""
    target_module.TARGETS = targets
    for known in (target_module.available, chosen, build._library):
        known.cache_clear()


#: What must be done before anything is planned or compiled.
MODES = {"in_pairs": pair_up, "wide": widen_vectors}


def main(note: str, *checks: str) -> None:
    """Run checks for all that kernels multiply."""
    with Path(note).open("wb") as file:
        note_in(file.fileno())
        for name in [name for name in checks if name in MODES]:
            MODES[name]()
        for name in [name for name in checks if name in CHECKS or name not in MODES]:
            for dtype, right in PAIRS if name != "in_pairs" else [(BFLOAT16, BFLOAT16)]:
                CHECKS[name](dtype, right)
    print(chosen().name)


if __name__ == "__main__":
    main(*sys.argv[1:])
