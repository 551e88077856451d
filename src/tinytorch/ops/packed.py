"""Weights laid out ahead as the micro-kernel reads them: panels, each NR columns wide and contiguous."""

import numpy as np

from tinytorch.ops.plan import kernels
from tinytorch.runtime.arrays import BFLOAT16, FLOAT16, Array, DType, compute_dtype, convert, empty
from tinytorch.simd.target import chosen, tile


def panel_width(dtype: DType) -> int:
    """Return NR, the columns of a panel, for weights that are multiplied in the dtype that `dtype` needs."""
    return tile(chosen(), compute_dtype(dtype))[1]


def pack(weight: Array) -> Array:
    """Lay a (K, N) float matrix out as (panels, K * NR); columns past N are zeros."""
    inner, columns = weight.shape
    width, computed = panel_width(weight.dtype), compute_dtype(weight.dtype)
    panels = empty((-(-columns // width), inner * width), computed)
    if panels.size:
        source = convert(weight, computed)
        if source.strides[1] != source.itemsize or not source.flags.aligned:
            source = np.ascontiguousarray(source)
        _, packing = kernels(computed)
        packing.call(
            "panels",
            *(inner, columns, source.ctypes.data, source.strides[0]),
            panels.ctypes.data,
            panels.strides[0],
        )
    return convert(panels, weight.dtype) if weight.dtype in (FLOAT16, BFLOAT16) else panels


def unpack(panels: Array, shape: tuple[int, int]) -> Array:
    """Return the (K, N) matrix that panels of any width were made of."""
    inner, columns = shape
    if not inner or not columns:
        return empty(shape, panels.dtype)
    parts = panels.reshape(len(panels), inner, -1).transpose(1, 0, 2)
    return parts.reshape(inner, -1)[:, :columns]
