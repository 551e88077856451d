"""The most multiply-adds a second that this machine does, all operands in registers: the roof of compute."""

import numpy as np

from tinytorch.measure.probe import Probe
from tinytorch.runtime.arrays import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, INT8, UINT8, DType
from tinytorch.simd import peak, tiles
from tinytorch.simd.build import library
from tinytorch.simd.target import chosen

#: The dtypes whose peak is measured.
DTYPES = (FLOAT32, FLOAT64, BFLOAT16, INT8)


def compute_dtype(dtype: DType) -> DType:
    """Return the dtype whose peak an operation is held against: its own, or one of as wide lanes.

    Numbers of 16 bits are computed in float32, other integers as fast as floats of their size at best.

    >>> compute_dtype(np.dtype("int64"))
    dtype('float64')
    """
    if dtype in DTYPES:
        return dtype
    if dtype == UINT8:
        return INT8
    if dtype == FLOAT16 or dtype.itemsize <= FLOAT32.itemsize:
        return FLOAT32
    return FLOAT64


def unit(dtype: DType) -> str:
    """Return which part of the CPU reaches the peak of a dtype."""
    return "AMX tiles" if tiles.multiplies(dtype) else f"vectors of {chosen().name}"


def peak_probes() -> dict[str, Probe]:
    """Return the probe of each dtype's peak."""
    return {str(dtype): peak_probe(dtype) for dtype in DTYPES}


def peak_probe(dtype: DType) -> Probe:
    """Return a probe whose work is operations, a multiply-add being two.

    >>> from tinytorch.measure.probe import reading
    >>> reading(lambda: peak_probe(FLOAT32), threads=1).value > 0
    True
    """
    if tiles.multiplies(dtype):
        run, memory = library(tiles.tile_kernels, dtype).function("peak", 2), tiles.configuration()
        work = tiles.turn_operations(dtype)
    else:
        target, sums = chosen(), peak.SUMS.get(dtype, dtype)
        run = library(peak.peak_kernels, dtype).function("peak", 2)
        # Zeros: sums of anything else would grow until their arithmetic is another one.
        memory = np.zeros((2 + peak.accumulators(target)) * target.lanes(sums), sums)
        work = peak.turn_operations(target, dtype)
    return Probe(lambda turns: run(turns, memory.ctypes.data), work, memory)
