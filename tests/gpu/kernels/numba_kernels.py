"""numba-cuda kernels of the kinds that its documentation shows, each beside its reference."""

from collections.abc import Mapping

import numpy as np
from numba import cuda, float32

from tests.gpu.kernels.case import Array, Case, floats, rng
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.frontends.numba_cuda import from_numba_cuda

TILE = 8
THREADS = 128


@cuda.jit
def increment(x):
    i = cuda.grid(1)
    if i < x.size:
        x[i] += 1


@cuda.jit
def add(x, y, out):
    start, stride = cuda.grid(1), cuda.gridsize(1)
    for i in range(start, out.size, stride):
        out[i] = x[i] + y[i]


@cuda.jit
def increment_2d(x):
    i, j = cuda.grid(2)
    if i < x.shape[0] and j < x.shape[1]:
        x[i, j] += 1


@cuda.jit
def matmul(a, b, c):
    """A tile of a and one of b in shared memory at a time; sides that are no multiple of it are zeros."""
    left = cuda.shared.array((TILE, TILE), float32)
    right = cuda.shared.array((TILE, TILE), float32)
    column, row = cuda.grid(2)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for tile in range((a.shape[1] + TILE - 1) // TILE):
        k = tile * TILE
        left[y, x] = a[row, k + x] if row < a.shape[0] and k + x < a.shape[1] else 0
        right[y, x] = b[k + y, column] if k + y < b.shape[0] and column < b.shape[1] else 0
        cuda.syncthreads()
        for i in range(TILE):
            total += left[y, i] * right[i, x]
        cuda.syncthreads()
    if row < c.shape[0] and column < c.shape[1]:
        c[row, column] = total


@cuda.jit
def block_sums(x, out):
    """Half of the threads add the other half's sums until one thread has them all."""
    sums = cuda.shared.array(THREADS, float32)
    thread, i = cuda.threadIdx.x, cuda.grid(1)
    sums[thread] = x[i] if i < x.size else 0
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            sums[thread] += sums[thread + half]
        cuda.syncthreads()
        half //= 2
    if thread == 0:
        out[cuda.blockIdx.x] = sums[0]


@cuda.jit
def life(old, new):
    """One step of Conway's game on a torus."""
    i, j = cuda.grid(2)
    rows, columns = old.shape
    if i >= rows or j >= columns:
        return
    alive = 0
    for di in range(-1, 2):
        for dj in range(-1, 2):
            if di != 0 or dj != 0:
                alive += old[(i + di) % rows, (j + dj) % columns]
    new[i, j] = 1 if alive == 3 or (alive == 2 and old[i, j] == 1) else 0


@cuda.jit
def heat(old, new, k):
    """One step of heat along a rod whose ends keep their temperature."""
    i = cuda.grid(1)
    if i < old.size:
        if i == 0 or i == old.size - 1:
            new[i] = old[i]
        else:
            new[i] = old[i] + k * (old[i - 1] - 2 * old[i] + old[i + 1])


@cuda.jit
def histogram(x, low, width, counts):
    i = cuda.grid(1)
    if i < x.size:
        bin = int((x[i] - low) / width)
        if 0 <= bin < counts.size:
            cuda.atomic.add(counts, bin, 1)


@cuda.jit
def largest(x, out):
    i = cuda.grid(1)
    if i < x.size:
        cuda.atomic.max(out, 0, x[i])


@cuda.jit
def collatz(x, steps):
    """As many turns as each number needs: lanes leave the loop at different times."""
    i = cuda.grid(1)
    if i < x.size:
        n = x[i]
        count = 0
        while n != 1:
            if n % 2 == 0:
                n //= 2
            else:
                n = 3 * n + 1
            count += 1
        steps[i] = count


def _collatz_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    def steps(n: int) -> int:
        count = 0
        while n != 1:
            n, count = n // 2 if n % 2 == 0 else 3 * n + 1, count + 1
        return count

    return {"steps": np.array([steps(int(n)) for n in given["x"]], np.int32)}


def _life_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    old = given["old"]
    around = sum(np.roll(old, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) - old
    return {"new": ((around == 3) | ((around == 2) & (old == 1))).astype(old.dtype)}


def _heat_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    old = given["old"].astype(np.float64)
    new = old.copy()
    new[1:-1] += 0.25 * (old[:-2] - 2 * old[1:-1] + old[2:])
    return {"new": new}


def _block_sums_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    padded = np.zeros(3 * THREADS)
    padded[: given["x"].size] = given["x"]
    return {"out": padded.reshape(3, THREADS).sum(1)}


def _histogram_expected(given: Mapping[str, Array]) -> Mapping[str, Array]:
    bins = np.trunc((given["x"].astype(np.float64) + 2) / 0.5).astype(int)
    return {"counts": np.bincount(bins[(bins >= 0) & (bins < 8)], minlength=8).astype(np.int32)}


def _case(name: str, kernel, grid, block, make, expected, tolerance: float = 0.0) -> Case:  # type: ignore[no-untyped-def]
    def compile(arch: str = "sm_90") -> Compiled:
        return from_numba_cuda(kernel, grid, block, make(), arch=arch)

    return Case(f"numba {name}", compile, expected, tolerance)


def _rod() -> tuple[Array, Array, float]:
    return floats(100), np.zeros(100, np.float32), 0.25


def _world() -> tuple[Array, Array]:
    old = rng().integers(0, 2, (19, 37), dtype=np.int32)
    return old, np.zeros_like(old)


CASES = (
    _case("increment", increment, 3, 64, lambda: (floats(150),), lambda g: {"x": g["x"] + 1}),
    _case(
        "add",
        add,
        2,
        64,
        lambda: (*floats(2, 300), np.zeros(300, np.float32)),
        lambda g: {"out": g["x"] + g["y"]},
    ),
    _case(
        "add, every other",
        add,
        2,
        64,
        lambda: (floats(600)[::2], floats(300), np.zeros(300, np.float32)),
        lambda g: {"out": g["x"] + g["y"]},
    ),
    _case(
        "increment, 2-D",
        increment_2d,
        (3, 2),
        (16, 16),
        lambda: (floats(40, 30),),
        lambda g: {"x": g["x"] + 1},
    ),
    _case(
        "increment, columns first",
        increment_2d,
        (3, 2),
        (16, 16),
        lambda: (np.asfortranarray(floats(40, 30)),),
        lambda g: {"x": g["x"] + 1},
    ),
    _case(
        "matmul",
        matmul,
        (3, 3),
        (TILE, TILE),
        lambda: (floats(20, 30), floats(30, 22), np.zeros((20, 22), np.float32)),
        lambda g: {"c": g["a"].astype(np.float64) @ g["b"]},
        1e-5,
    ),
    _case(
        "block sums",
        block_sums,
        3,
        THREADS,
        lambda: (floats(300), np.zeros(3, np.float32)),
        _block_sums_expected,
        1e-5,
    ),
    _case("life", life, (2, 3), (16, 16), _world, _life_expected),
    _case("heat", heat, 2, 64, _rod, _heat_expected, 1e-6),
    _case(
        "histogram",
        histogram,
        4,
        64,
        lambda: (floats(250), -2.0, 0.5, np.zeros(8, np.int32)),
        _histogram_expected,
    ),
    _case(
        "largest",
        largest,
        4,
        64,
        lambda: (floats(250), np.full(1, -np.inf, np.float32)),
        lambda g: {"out": g["x"].max(keepdims=True)},
    ),
    _case(
        "collatz",
        collatz,
        1,
        128,
        lambda: (np.arange(1, 101, dtype=np.int32), np.zeros(100, np.int32)),
        _collatz_expected,
    ),
)
