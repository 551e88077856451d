"""What this machine can do at most: multiply-adds a second from registers alone, on so many threads.

Each thread runs a loop of independent fused multiply-adds (`tinytorch.simd.peak`). The clock of a server
drifts by a tenth, so a peak is measured beside what is compared with it, not once for all.
"""

import threading
import time

import numpy as np

from tinytorch.simd.build import library
from tinytorch.simd.peak import accumulators, peak_kernels
from tinytorch.simd.target import chosen

#: A sample: long enough that starting and stopping do not count.
_SECONDS = 2e-3
_SAMPLES = 3


def peak(threads: int, dtype: str) -> float:
    """Return floating-point operations a second of `threads` threads, a multiply-add being two.

    >>> peak(1, "float32") > 1e9
    True
    """
    # bfloat16 is held against float32's peak, which a CPU with an instruction for it can exceed.
    number = np.dtype(np.float64 if dtype == "float64" else np.float32)
    return max(_together(threads, number) for _ in range(_SAMPLES))


def _together(threads: int, dtype: np.dtype) -> float:
    """Sum the rates of threads that run the loop at the same time."""
    turns = max(1, int(_SECONDS * _rate(dtype, 1000) / _operations(dtype)))
    rates, start = [0.0] * threads, threading.Barrier(threads)

    def run(index: int) -> None:
        start.wait()
        rates[index] = _rate(dtype, turns)

    others = [threading.Thread(target=run, args=(index,)) for index in range(1, threads)]
    for thread in others:
        thread.start()
    run(0)
    for thread in others:
        thread.join()
    return sum(rates)


def _rate(dtype: np.dtype, turns: int) -> float:
    """Return operations a second of one thread; the call holds no lock of the interpreter."""
    lanes = chosen().lanes(dtype)
    memory = np.full((2 + accumulators(chosen())) * lanes, 0.5, dtype)
    kernels, address = library(peak_kernels, dtype), memory.ctypes.data
    begin = time.perf_counter()
    kernels.call("peak", turns, address)
    return turns * _operations(dtype) / (time.perf_counter() - begin)


def _operations(dtype: np.dtype) -> int:
    """Operations of a turn."""
    return 2 * accumulators(chosen()) * chosen().lanes(dtype)
