"""What the vector engine must do on any target: every size, nothing touched outside, NaN and inf in place.

`tests/ops/test_engine.py` runs these checks for the best target. `python -m tests.engine_checks NOTE CHECK...`
runs them in a process of its own: for the target that TINYTORCH_TARGET names, and because a guard page ends
the process that touches it. The file NOTE then says what was being computed.
"""

import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.memory import LAYOUTS, Array, DType, Framed, Pages
from tests.ops.test_linear import EXACT
from tinytorch import get_num_threads, ops, set_num_threads
from tinytorch.ops.gemm import BLOCKED, DOTTED, LINE, OUTER, STREAMED, Plan
from tinytorch.ops.plan import prepare, prepare_contiguous
from tinytorch.ops.registry import draw, mismatch, operations, product_bound, rounding
from tinytorch.simd.target import chosen, tile

FLOATS = [np.dtype(t) for t in (np.float32, np.float64)]
DTYPES = [*FLOATS, np.dtype(np.int64)]
PATHS = {BLOCKED, STREAMED, OUTER, DOTTED}
MATMUL, CONV2D = operations()["matmul"], operations()["conv2d"]
# The package's names for these modules are taken by the functions in them.
matmul_module, product_module, packed_module, conv2d_module, plan_module = (
    sys.modules[f"tinytorch.ops.{name}"] for name in ("matmul", "product", "packed", "conv2d", "plan")
)

_note = -1


def doing(*what: object) -> None:
    """Leave a note of what comes next, for who finds the process dead."""
    if _note >= 0:
        os.pwrite(_note, " ".join(map(str, what)).ljust(200).encode(), 0)


def planned(a: Array, b: Array, threads: int = 1) -> Plan:
    """Return the plan of a product of two matrices that takes no shortcut for small ones."""
    c = (b.shape[1] * a.itemsize, a.itemsize)
    prepared = prepare(a.dtype, a.shape, b.shape[1], a.strides, b.strides, c, 1, threads)
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

    def __init__(self) -> None:
        self._frames: dict[str, Framed] = {}

    def put(self, name: str, values: Array, layout: str = "C", writeable: bool = False) -> Array:
        """Return an array of these values; there is one of each name at a time."""
        self._frames[name] = frame = Framed(values.shape, values.dtype, layout)
        frame.array[...] = values
        return frame.array

    def look(self) -> None:
        """See that nothing around the arrays was written."""
        for name, frame in self._frames.items():
            assert frame.intact(), f"bytes beside {name} were written"


class GuardedPlaces(Places):
    """Operands and results that end where a page begins that nobody may touch, or begin where one ends."""

    def __init__(self, at_end: bool) -> None:
        super().__init__()
        self._pages: dict[str, Pages] = {}
        self._at_end = at_end

    def put(self, name: str, values: Array, layout: str = "C", writeable: bool = False) -> Array:
        """Return an array of these values; there is one of each name at a time."""
        if name not in self._pages:
            self._pages[name] = Pages(4 << 20)
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
        mock.patch.object(packed_module, "empty", empty),
    ):
        yield


@contextmanager
def small_caches(dtype: DType) -> Iterator[None]:
    """Plan for caches so small that a matrix of some hundred numbers a side is cut in every direction."""
    _, width = tile(chosen(), dtype)
    least = 192 * width * dtype.itemsize * 4 // 3  # L1 for the smallest KC that there is
    with mock.patch.object(plan_module, "cache_bytes", lambda: (least, 8 << 10, 16 << 10)):
        prepare.cache_clear()
        prepare_contiguous.cache_clear()
        try:
            yield
        finally:
            prepare.cache_clear()
            prepare_contiguous.cache_clear()


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
        for k, n in ((1, 1), (3, width + 1), (lanes + 1, 2), (lanes, lanes // 2), (7, width), (9, 2 * width + 1)):
            yield m, k, n
    for k in sweep:
        for m, n in ((1, 1), (1, width + 1), (2, 3), (4, width), (rows + 1, width - 1), (17, width + 3)):
            yield m, k, n
    for n in sweep:
        for m, k in ((1, 1), (1, 6), (3, lanes + 1), (rows, 4), (2 * rows + 1, 9), (17, lanes + 2)):
            yield m, k, n


def check_products(dtype: DType, places: Places) -> None:
    """Products of all sizes, with all layouts of both sides and of the result, on all paths."""
    rng = np.random.default_rng(0)
    names, turn, paths = list(LAYOUTS), 0, set()
    for m, k, n in sizes(dtype):
        a, b = draw(rng, (m, k), dtype), draw(rng, (k, n), dtype)
        exact, bound = MATMUL.reference(a, b), MATMUL.bound(a, b)
        for number in range(4):
            turn += 1
            # C order has a shortcut, so it is always tried; then all combinations in turn.
            layouts = [names[turn // 7**i % 7 if number else 0] for i in range(3)]
            what = dtype, (m, k, n), layouts
            doing("matmul", *what)
            left, right = places.put("a", a, layouts[0]), places.put("b", b, layouts[1])
            out = places.put("out", unset((m, n), dtype), layouts[2], writeable=True)
            assert ops.matmul(left, right, out=out) is out
            expect(out, exact, bound, "matmul", *what)
            places.look()
            # This rung has no shortcut: small products, too, take the path that is planned for them.
            doing("vectorized", *what)
            expect(matmul_module.vectorized(left, right), exact, bound, "vectorized", *what)
            if exact.size:
                paths.add(planned(left, right).path)
    assert paths == PATHS


def check_stacks(dtype: DType, places: Places) -> None:
    """Stacks of matrices that broadcast, in all layouts."""
    rng = np.random.default_rng(1)
    rows, width = tile(chosen(), dtype)
    batches = [((3,), (3,)), ((1,), (4,)), ((2, 1), (3,)), ((), (2, 2)), ((2, 2), ()), ((0,), (1,)), ((1,), (1,))]
    shapes = [(2, 3, width + 1), (rows + 1, 5, 3), (1, 9, 2 * width), (18, 7, width + 1), (3, 0, 2)]
    layouts = itertools.cycle(itertools.product(LAYOUTS, repeat=2))
    for (left, right), (m, k, n) in itertools.product(batches, shapes):
        a, b = draw(rng, (*left, m, k), dtype), draw(rng, (*right, k, n), dtype)
        exact, bound = MATMUL.reference(a, b), MATMUL.bound(a, b)
        for layout_a, layout_b in itertools.islice(layouts, 6):
            what = "stacks", dtype, a.shape, b.shape, layout_a, layout_b
            doing(*what)
            out = places.put("out", unset(exact.shape, dtype), layout_b, writeable=True)
            ops.matmul(places.put("a", a, layout_a), places.put("b", b, layout_b), out=out)
            expect(out, exact, bound, *what)
            places.look()


def check_linear(dtype: DType, places: Places) -> None:
    """Dense layers of all widths, weights packed and not, with bias and activation."""
    rng = np.random.default_rng(2)
    rows, width = tile(chosen(), dtype)
    activations = itertools.cycle(EXACT)
    names = itertools.cycle(itertools.product(LAYOUTS, repeat=2))
    # Up to three rows take several panels at a time, up to four of them.
    columns = [*range(2 * width + 2), 4 * width - 1, 4 * width, 4 * width + 1, 9 * width + 3]
    shapes = [*itertools.product((1, 2, 3, rows + 1, 18), (6,), columns)]
    shapes += [*itertools.product((0, 1, 2, 3, rows), (0, 1, 2, 3, 4, 5, 37), (4 * width + 2,))]
    for number, (m, k, n) in enumerate(shapes):
        x, weight, bias = (draw(rng, shape, dtype) for shape in ((m, k), (k, n), (n,)))
        activation, (layout_x, layout_weight) = next(activations), next(names)
        offset = bias.astype(np.float64) if number % 3 else np.zeros(n)
        before = x.astype(np.float64) @ weight.astype(np.float64) + offset
        exact = EXACT[activation](before)
        # As in `tests/ops/test_linear.py`: no activation is steeper than 1.2; each rounds a few times itself.
        bound = 1.2 * (product_bound(x, weight, dtype, k + 1) + rounding(np.abs(offset), dtype))
        bound = bound + 8 * rounding(np.abs(exact) + np.abs(before), dtype)
        what = "linear", dtype, (m, k, n), activation, layout_x, layout_weight
        doing(*what)
        inputs = places.put("x", x, layout_x), places.put("weight", weight, layout_weight)
        offsets = places.put("bias", bias, ("C", "strided", "backwards")[number % 3]) if number % 3 else None
        for right in (inputs[1], ops.pack_weight(inputs[1])):
            out = places.put("out", unset((m, n), dtype), writeable=True)
            ops.linear(inputs[0], right, offsets, activation, out=out)
            expect(out, exact, bound, *what, "plain" if right is inputs[1] else "packed")
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


def check_blocks(dtype: DType, places: Places) -> None:
    """Products that are cut into several blocks in every direction: along the sum, rows and columns."""
    rng = np.random.default_rng(4)
    rows, width = tile(chosen(), dtype)
    with small_caches(dtype):
        # From 129 rows on A is packed, too; with less it is, if its rows are not contiguous.
        for m, k, n in ((5 * rows + 3, 500, 5 * width + 3), (150, 390, 261)):
            a, b, bias = (draw(rng, shape, dtype) for shape in ((m, k), (k, n), (n,)))
            exact, bound = MATMUL.reference(a, b), MATMUL.bound(a, b)
            for layouts in zip(LAYOUTS, reversed(LAYOUTS), strict=True):
                left, right = (places.put(*item) for item in zip("ab", (a, b), layouts, strict=True))
                plan = planned(left, right)
                assert plan.path == BLOCKED
                assert plan.KC < k and plan.MC < m and plan.NC < n
                doing("blocks", dtype, (m, k, n), layouts)
                expect(matmul_module.vectorized(left, right), exact, bound, dtype, (m, k, n), layouts)
                if dtype in FLOATS:
                    # Bias and activation once, at the last block of the sum.
                    result = ops.linear(left, ops.pack_weight(right), bias, "relu")
                    wide = bound + rounding(np.abs(exact) + np.abs(bias), dtype)
                    expect(result, np.maximum(exact + bias, 0), wide, "packed", dtype, (m, k, n), layouts)


def check_unaligned(dtype: DType) -> None:
    """Operands and results whose numbers lie across the boundaries of their type."""
    rng = np.random.default_rng(5)
    _, width = tile(chosen(), dtype)
    for m, k, n in ((1, 1, 1), (3, 5, 2), (5, 7, width + 1), (17, width, 2 * width + 1), (2, 4, width)):
        shapes = (m, k), (k, n), (m, n)
        a, b = draw(rng, shapes[0], dtype), draw(rng, shapes[1], dtype)
        exact, bound = MATMUL.reference(a, b), MATMUL.bound(a, b)
        for odd, layout in itertools.product(itertools.product((0, 1, dtype.itemsize - 1), repeat=3), LAYOUTS):
            frames = [Framed(s, dtype, layout, off) for s, off in zip(shapes, odd, strict=True)]
            left, right, out = (frame.array for frame in frames)
            left[...], right[...], out[...] = a, b, unset(out.shape, dtype)
            assert all(x.ctypes.data % x.itemsize == off for x, off in zip((left, right, out), odd, strict=True))
            what = dtype, (m, k, n), f"{odd} bytes off", layout
            assert ops.matmul(left, right, out=out) is out
            expect(out, exact, bound, *what)
            if dtype in FLOATS:
                expect(ops.linear(left, ops.pack_weight(right)), exact, bound, "packed", *what)
            assert all(frame.intact() for frame in frames)


def check_nonfinite(dtype: DType) -> None:
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
        a, b = (x * (rng.random(x.shape) < 0.8) for x in (draw(rng, (m, k), dtype), draw(rng, (k, n), dtype)))
        # Times zero is NaN for inf: at least once for every place that there is.
        a[-1], b[:, -1] = 0, 0
        frames = Framed(a.shape, dtype, layouts[0]), Framed(b.shape, dtype, layouts[1])
        left, right = (frame.array for frame in frames)
        left[...], right[...] = a, b
        paths.add(planned(left, right).path)
        for side, array in enumerate((left, right)):
            for place, value in itertools.product(np.ndindex(array.shape), (np.nan, np.inf, -np.inf)):
                before = array[place]
                array[place] = value
                # Every product and sum as IEEE 754 has them, with no library between.
                with np.errstate(invalid="ignore"):
                    terms = left[:, :, None].astype(np.float64) * right[None].astype(np.float64)
                    exact = terms.sum(1)
                bound = product_bound(left, right, dtype, k)
                what = dtype, (m, k, n), layouts, f"{value} at {place} of {'AB'[side]}"
                doing(*what)
                expect(ops.matmul(left, right), exact, bound, "matmul", *what)
                expect(matmul_module.vectorized(left, right), exact, bound, "vectorized", *what)
                packed = ops.linear(left, ops.pack_weight(right))
                expect(packed, exact, bound, "packed", *what)
                array[place] = before
    assert paths == PATHS


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


def check_threads(dtype: DType) -> None:
    """Bitwise the same result on any number of threads, on every path."""
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
        a, b = draw(rng, (m, k), dtype), draw(rng, (k, n), dtype)
        frame = Framed(b.shape, dtype, layout)
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
    assert paths == PATHS
    stack_a, stack_b = draw(rng, (6, 40, 60), dtype), draw(rng, (6, 60, 70), dtype)
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
                doing("threads", count, dtype, name)
                same = np.array_equal(call().view(np.uint8), first[name].view(np.uint8))
                assert same, f"{name} of {dtype} differs on {count} threads"


# As a program


def check_guarded(dtype: DType) -> None:
    """All of it against guard pages, at either end, and with packed blocks against one, too."""
    with guarded_memory():
        for at_end in (True, False):
            places = GuardedPlaces(at_end)
            check_products(dtype, places)
            check_stacks(dtype, places)
            if dtype in FLOATS:
                check_linear(dtype, places)
            check_conv2d(dtype, places)
            check_blocks(dtype, places)


def check_framed(dtype: DType) -> None:
    """All of it between bytes that must stay."""
    places = Places()
    check_products(dtype, places)
    check_stacks(dtype, places)
    if dtype in FLOATS:
        check_linear(dtype, places)
    check_conv2d(dtype, places)
    check_blocks(dtype, places)


def check_special(dtype: DType) -> None:
    """NaN and inf, for dtypes that have them."""
    if dtype in FLOATS:
        check_nonfinite(dtype)
        check_nonfinite_conv2d(dtype)


CHECKS = {
    "framed": check_framed,
    "guarded": check_guarded,
    "special": check_special,
    "unaligned": check_unaligned,
    "threads": check_threads,
}


def main(note: str, *checks: str) -> None:
    """Run checks for the dtypes that kernels compute in."""
    global _note  # noqa: PLW0603
    with Path(note).open("wb") as file:
        _note = file.fileno()
        for name in checks:
            for dtype in DTYPES:
                CHECKS[name](dtype)
    print(chosen().name)


if __name__ == "__main__":
    main(*sys.argv[1:])
