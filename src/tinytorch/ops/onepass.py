"""A kernel that passes over arrays once, in use: which variant of it, on how many threads, in what parts.

What bounds such a kernel is memory, and a thousand numbers take less time than a look at the arguments: so
it is called past numba's dispatcher, and threads are woken only where they gain more than that costs.
"""

import functools
import itertools
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numba
from numba import types

from tinytorch.ops.launch import address
from tinytorch.ops.plan import cache_bytes
from tinytorch.runtime import pool
from tinytorch.runtime.arrays import LINE, Array, DType
from tinytorch.runtime.compile import device_function, entry_point, tile_function
from tinytorch.runtime.intrinsics import address_of, call_kernel, load
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.build import library
from tinytorch.simd.elementwise import ARRAYS, STREAM, elementwise_kernels

#: Bytes moved from which threads pay if they are awake. ReLU of 30,000 floats (240 KB) takes 3.5 us either
#: way, of 50,000 4.6 us on two threads and 6.2 on one (Zen 3, as all below).
_AWAKE = 320 << 10
#: Bytes moved from which threads pay even if they must be woken first, which takes 6 us of the caller's
#: time: 200,000 floats (1.6 MB) after a pause take 36 us on two threads and 29 on one, 500,000 60 and 70.
_WOKEN = 3 << 20
#: Of calls between the two, one in so many wakes the threads; while calls then follow each other the threads
#: stay awake, and where they do not it costs 6 us in so many calls.
_SELDOM = 8
#: Parts for each thread, and the least and most bytes of the result that one part has. Twice as many parts
#: cost 4% at 100,000 floats and nothing from a million on; 32 KB take 1 us against 0.1 to claim them; more
#: than 512 KB gain nothing, and a thread that is late would be waited for.
_PARTS, _LEAST, _MOST = 2, 32 << 10, 512 << 10

#: What every part knows: the kernel, numbers in all and in a part, their bytes, and where the arrays begin.
Pass = namedtuple("Pass", "kernel count part size x y out")
_PASS = types.NamedUniTuple(types.int64, len(Pass._fields), Pass)


@device_function
def _solid(x):
    """Say whether an array is contiguous and aligned."""
    step, bits = x.itemsize, address(x)
    for d in range(x.ndim - 1, -1, -1):
        if x.shape[d] > 1 and x.strides[d] != step:
            return False
        step *= x.shape[d]
    return bits % x.itemsize == 0


@device_function
def _apart(x, out):
    """Say whether an array is contiguous, of the shape of `out`, and lies wholly before or after it."""
    begin, start, length = address(x), address(out), out.size * out.itemsize
    return x.shape == out.shape and _solid(x) and (begin + length <= start or start + length <= begin)


def _run_part(tile, thread, p):
    start = tile * p.part
    at = start * p.size
    call_kernel(p.kernel, (min(p.part, p.count - start), p.x + at, p.y + at, p.out + at))


def _launch(pool_address, threads, wake, tile_address, kernel, part, x, y, out):
    """Pass a kernel over arrays; False if they want a closer look. `wake`: threads are worth waking."""
    count, size = out.size, out.itemsize
    if count == 0 and x.shape == y.shape == out.shape:
        return True
    if not (_solid(out) and _apart(x, out) and _apart(y, out)):
        return False
    # While the first worker sleeps, which is the first to be woken, so do the others or will soon.
    if threads <= 1 or not (wake or load(pool_address + pool.BEDS + pool.ASLEEP) == 0):
        call_kernel(kernel, (count, address(x), address(y), address(out)))
        return True
    p = Pass(kernel, count, part, size, address(x), address(y), address(out))
    pool.launch(pool_address, threads, -(-count // part), tile_address, address_of((p,)))
    return True


class OnePass(dict[tuple[DType, int], Callable[..., bool]]):
    """A kernel of `simd.elementwise` in use: `kernel[dtype, ndim](x, y, out, threads=None)`.

    `x`, `y` (`x` again where the kernel takes one array) and `out` are ndarrays of this dtype and so many
    dimensions, `out` to be written. It returns False, with nothing done, unless they are contiguous, aligned,
    of one shape, and neither overlaps `out`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __missing__(self, key: tuple[DType, int]) -> Callable[..., bool]:
        """Make the kernel for a dtype and a number of dimensions."""
        dtype, dimensions = key
        kernels = library(elementwise_kernels, dtype)
        plain, stream = kernels[self._name], kernels[self._name + STREAM]
        entry, tile, current = _compiled_launch(dtype, dimensions), _compiled_part(), pool.current
        size = dtype.itemsize
        moved, line = size * (1 + ARRAYS[self._name]), LINE // size
        few, many, stay = _AWAKE // moved, _WOKEN // moved, stay_in_cache() // moved
        least, most = _LEAST // size, _MOST // size
        turns = itertools.count(1)

        def run(x: Array, y: Array, out: Array, threads: int | None = None) -> bool:
            count = out.size
            if count < few:
                return entry(0, 1, 0, 0, plain, 0, x, y, out)
            kernel = plain if count < stay else stream
            limit = threads_for(count, few, count, threads)
            if limit == 1:
                return entry(0, 1, 0, 0, kernel, 0, x, y, out)
            workers = current()
            wake = count >= many or next(turns) % _SELDOM == 0
            if wake:
                workers.ready(limit)  # takes 0.4 us, and a launch is right without
            part = min(most, max(least, -(-count // (_PARTS * limit * line)) * line))
            return entry(workers.address, limit, wake, tile, kernel, part, x, y, out)

        self[key] = run
        return run


@functools.cache
def _compiled_part() -> int:
    return tile_function(_run_part, types.Tuple((_PASS,)))


@functools.cache
def _compiled_launch(dtype: DType, dimensions: int) -> Any:
    array = types.Array(numba.from_dtype(dtype), dimensions, "A")
    return entry_point(types.boolean(*(types.int64,) * 6, array, array, array), _launch)


copy_pass, relu_pass, add_pass, multiply_pass = map(OnePass, ("copy", "relu", "add", "multiply"))


@functools.cache
def stay_in_cache() -> int:
    """Return how many bytes a pass may touch and still find most of them in L3 the next time.

    Beyond, stores pass by the caches. Three quarters of L3 (32 MB, Zen 3): ReLU in GB/s with and without,
    20 MB 43 and 39 on one thread, 44 and 81 on two; 28 MB 41 and 28, 44 and 52; 40 MB 38 and 25, 43 and 41.
    """
    return cache_bytes()[2] * 3 // 4
