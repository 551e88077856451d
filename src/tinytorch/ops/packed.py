"""Weights laid out ahead as the micro-kernel reads them: panels, each NR columns wide and contiguous."""

from tinytorch.ops.plan import packing
from tinytorch.runtime.arrays import Array, DType, compute_dtype, contiguous, empty
from tinytorch.simd.target import chosen, tile


def panel_width(dtype: DType) -> int:
    """Return NR, the columns of a panel, for weights that are multiplied in the dtype that `dtype` needs."""
    return tile(chosen(), compute_dtype(dtype))[1]


def pack(weight: Array) -> Array:
    """Lay a (K, N) float matrix out as (panels, K * NR) of its dtype; columns past N are zeros."""
    inner, columns = weight.shape
    width, dtype = panel_width(weight.dtype), weight.dtype
    panels = empty((-(-columns // width), inner * width), dtype)
    if panels.size:
        source = contiguous(weight, dtype)
        packing(dtype, computed=compute_dtype(dtype)).call(
            *("panels", inner, columns, source.ctypes.data, source.strides[0]),
            *(panels.ctypes.data, panels.strides[0]),
        )
    return panels


def unpack(panels: Array, shape: tuple[int, int]) -> Array:
    """Return the (K, N) matrix that panels of any width were made of."""
    inner, columns = shape
    if not inner or not columns:
        return empty(shape, panels.dtype)
    parts = panels.reshape(len(panels), inner, -1).transpose(1, 0, 2)
    return parts.reshape(inner, -1)[:, :columns]
