"""Weights laid out ahead as the micro-kernel reads them: panels, each NR columns wide and contiguous."""

from dataclasses import dataclass

import numpy as np

from tinytorch.ops.plan import packing
from tinytorch.runtime.arrays import (
    INT8,
    INT32,
    Array,
    DType,
    aligned,
    compute_dtype,
    contiguous,
    empty,
    on_line,
)
from tinytorch.simd.build import library
from tinytorch.simd.integer import integer_kernels
from tinytorch.simd.target import chosen, tile

#: Rows of int8 panels: the longest sum that fits in an int32 whatever the codes and the zero point, 255 * 128
#: * K < 2^31, in whole vectors.
LONGEST_PART = (2**31 - 1) // (255 * 128) // 64 * 64


def panel_width(dtype: DType) -> int:
    """Return NR, the columns of a panel, for weights that are multiplied in the dtype that `dtype` needs."""
    return tile(chosen(), compute_dtype(dtype))[1]


def pack(weight: Array) -> Array:
    """Lay a (K, N) float matrix out as (panels, K * NR) of its dtype; columns past N are zeros."""
    inner, columns = weight.shape
    width, dtype = panel_width(weight.dtype), weight.dtype
    panels = aligned((-(-columns // width), inner * width), dtype)
    if panels.size:
        source = contiguous(weight, dtype)
        packing(dtype, computed=compute_dtype(dtype)).call(
            *("panels", inner, columns, source.ctypes.data, source.strides[0]),
            *(panels.ctypes.data, panels.strides[0]),
        )
    return panels


def pack_codes(codes: Array, computed: DType) -> Array:
    """Lay a (K, N) int8 matrix out as floats are, for products in `computed` that widen it as they read."""
    (inner, columns), width = codes.shape, panel_width(computed)
    panels = -(-columns // width)
    filled = np.zeros((inner, panels * width), INT8)
    filled[:, :columns] = codes
    turned = filled.reshape(inner, panels, width).transpose(1, 0, 2)
    return on_line(turned).reshape(panels, inner * width)


def unpack(panels: Array, shape: tuple[int, int]) -> Array:
    """Return the (K, N) matrix that panels of any width were made of."""
    inner, columns = shape
    if not inner or not columns:
        return empty(shape, panels.dtype)
    parts = panels.reshape(len(panels), inner, -1).transpose(1, 0, 2)
    return parts.reshape(inner, -1)[:, :columns]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of an int8 matrix in panels of groups (`simd.integer`), and the sum of each column of them."""

    columns: int
    panels: Array  # (panels, bytes of one) int8
    sums: Array  # (panels * NR,) int32


@dataclass(frozen=True, eq=False)
class PackedIntegers:
    """An int8 matrix laid out for `ops.integer`, in parts whose sums fit in an int32: nearly always one."""

    shape: tuple[int, int]
    parts: tuple[Part, ...]

    def unpacked(self, width: int, group: int) -> Array:
        """Return the (K, N) matrix that it was made of, in panels of `width` columns of groups."""
        rows = []
        for part in self.parts:
            groups = part.panels.shape[1] // (width * group)
            turned = part.panels.reshape(len(part.panels), groups, width, group).transpose(1, 3, 0, 2)
            rows.append(turned.reshape(groups * group, len(part.panels) * width))
        return np.concatenate(rows)[: self.shape[0], : self.shape[1]]


def layout() -> tuple[int, int]:
    """Return the width of panels of integers, and how many numbers of a column lie side by side."""
    return tile(chosen(), INT32)[1], chosen().group


def pack_integers(codes: Array) -> PackedIntegers:
    """Lay a (K, N) int8 matrix out for `ops.integer`."""
    source = contiguous(codes, INT8)
    parts = [_part(source[k : k + LONGEST_PART]) for k in range(0, max(len(source), 1), LONGEST_PART)]
    return PackedIntegers((codes.shape[0], codes.shape[1]), tuple(parts))


def _part(codes: Array) -> Part:
    (inner, columns), (width, group) = codes.shape, layout()
    count, size = -(-columns // width), -(-inner // group) * group * width
    part = Part(columns, aligned((count, size), INT8), empty((count * width,), INT32))
    if count:
        library(integer_kernels, INT32).call(
            *("panels", inner, columns, codes.ctypes.data, codes.strides[0]),
            *(part.panels.ctypes.data, size, part.sums.ctypes.data),
        )
    return part
