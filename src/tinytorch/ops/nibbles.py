"""Weights of 4 bits in groups along the sum, each with a scale, multiplied by floats: `simd.nibbles`."""

from dataclasses import dataclass

import numpy as np
from numba import types

from tinytorch.ops.launch import address
from tinytorch.ops.packed import panel_width
from tinytorch.ops.product import multiply_packed
from tinytorch.runtime.arrays import BFLOAT16, FLOAT32, Array, contiguous, empty, on_line
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.intrinsics import call_kernel
from tinytorch.runtime.scratch import temporary
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.activation import NONE
from tinytorch.simd.build import library
from tinytorch.simd.nibbles import NIBBLES, nibble_kernels

GROUPS = (32, 64, 128)
#: Rows of A up to which nibbles are multiplied as they come; more share the cost of widening them to floats.
#: 32 x 4096 x 4096 takes 15.5 ms so, and 17.2 widened; 32 x 768 x 3072 2.2 and 3.6 (Zen 3, one thread).
FEW_ROWS = 32
#: Panels that a thread takes at a time, and multiply-adds below which one takes all.
_PANELS, _SERIAL = 8, 500_000
#: Numbers below which one thread widens all.
_SERIAL_WIDENED = 50_000
#: Bytes of floats that are widened at a time: panels for several threads. 48 x 4096 x 4096 takes the time of
#: float32 by 0.94 with 4 MB, on one thread and two; with 256 KB, which stay in L2, 0.90 and 0.45 (Zen 4).
_WIDENED = 4 << 20
_BITS = np.dtype(np.uint16)
#: Where the nibbles lie; and 16^-s, but for the last, which is shifted down.
_SHIFTS = np.arange(NIBBLES, dtype=np.uint32) * np.uint32(4)
_DIVIDED = np.array([16.0**-s for s in range(NIBBLES - 1)] + [1.0], np.float32)


@dataclass(frozen=True, eq=False)
class PackedNibbles:
    """A (K, N) matrix of 4-bit codes in panels, and the scales of their groups."""

    shape: tuple[int, int]
    group_size: int
    panels: Array  # (panels, groups * group_size / 8 * NR) uint32
    scales: Array  # (panels, groups * NR) bfloat16

    @property
    def groups(self) -> int:
        """The groups of a column."""
        return -(-self.shape[0] // self.group_size)

    def codes(self, width: int = 0) -> tuple[Array, Array]:
        """Return the codes (K, N), -8 to 7, and the scales (groups, N); panels may be of another `width`."""
        (inner, columns), count = self.shape, len(self.panels)
        width = width or panel_width(FLOAT32)
        words = self.panels.reshape(count, self.groups * self.group_size // NIBBLES, width)
        nibbles = (words[:, :, None, :] >> _SHIFTS[:, None]) & np.uint32(15)  # (panels, blocks, 8, NR)
        codes = nibbles.transpose(1, 2, 0, 3).reshape(self.groups * self.group_size, count * width)
        steps = self.scales.reshape(count, self.groups, width).transpose(1, 0, 2)
        scales = steps.reshape(self.groups, count * width)
        return codes[:inner, :columns].astype(np.int8) - np.int8(8), scales[:, :columns]

    def values(self) -> Array:
        """Return the (K, N) float32 matrix that the codes stand for."""
        codes, scales = self.codes()
        steps = np.repeat(scales.astype(np.float32), self.group_size, axis=0)[: len(codes)]
        return codes.astype(np.float32) * steps


def quantize_groups(weight: Array, group_size: int) -> tuple[Array, Array]:
    """Return codes (K, N) in [-8, 7] and bfloat16 scales (groups, N): max-abs / 7 of a group, 1 of zeros."""
    (inner, columns), groups = weight.shape, -(-weight.shape[0] // group_size)
    filled = np.zeros((groups, group_size, columns), np.float32)
    filled.reshape(groups * group_size, columns)[:inner] = weight
    scales = (np.abs(filled).max(axis=1) / np.float32(7)).astype(BFLOAT16)
    scales = np.where(scales.astype(np.float32) > 0, scales, BFLOAT16.type(1)).astype(BFLOAT16)
    codes = np.clip(np.rint(filled / scales.astype(np.float32)[:, None]), -8, 7).astype(np.int8)
    return codes.reshape(groups * group_size, columns)[:inner], scales


def pack_nibbles(codes: Array, scales: Array, group_size: int) -> PackedNibbles:
    """Lay codes (K, N) and scales (groups, N) out in panels; what fills them up stands for zeros."""
    (inner, columns), groups, width = codes.shape, len(scales), panel_width(FLOAT32)
    count = -(-columns // width)
    filled = np.full((groups * group_size, count * width), 8, np.uint32)
    filled[:inner, :columns] = codes.astype(np.int32) + 8
    nibbles = filled.reshape(groups * group_size // NIBBLES, NIBBLES, count, width)
    words = np.bitwise_or.reduce(nibbles << _SHIFTS[:, None, None], axis=1)  # (blocks, panels, NR)
    steps = np.zeros((groups, count * width), BFLOAT16)
    steps[:, :columns] = scales
    turned = steps.reshape(groups, count, width).transpose(1, 0, 2)
    return PackedNibbles(
        (inner, columns),
        group_size,
        on_line(words.transpose(1, 0, 2)).reshape(count, groups * group_size // NIBBLES * width),
        on_line(turned).reshape(count, groups * width),
    )


@tile_kernel(
    lambda T: (
        *(T[:, ::1], T[:, ::1], types.uint32[:, ::1], types.uint16[:, ::1], types.Array(T, 2, "A")),
        *(types.int64, types.int64, types.int64, types.int64, types.int64, types.int64, types.int64),
    )
)
def _multiply(
    tile, thread, x, offsets, panels, scales, c, groups, blocks, width, two, two_edge, one, one_edge
):
    """Some panels of C: rows by twos."""
    for panel in range(tile * _PANELS, min((tile + 1) * _PANELS, panels.shape[0])):
        columns = c.shape[1] - panel * width
        b, steps = address(panels[panel]), address(scales[panel])
        for i in range(0, c.shape[0], 2):
            pair = c.shape[0] - i > 1
            whole, edge = (two, two_edge) if pair else (one, one_edge)
            kernel = whole if columns >= width else edge
            out = address(c) + i * c.strides[0] + panel * width * c.itemsize
            call_kernel(
                kernel,
                (
                    groups, blocks, columns, address(x[i]), x.strides[0],
                    address(offsets[i]), offsets.strides[0], b, steps, out, c.strides[0],
                ),
            )  # fmt: skip


@tile_kernel(
    lambda T: (
        *(types.uint32[:, ::1], types.uint16[:, ::1], T[:, ::1]),
        *(types.int64, types.int64, types.int64),
    )
)
def _widen(tile, thread, codes, scales, panels, groups, blocks, kernel):
    """One panel as floats."""
    call_kernel(kernel, (groups, blocks, address(codes[tile]), address(scales[tile]), address(panels[tile])))


def multiply_nibbles(x: Array, weight: PackedNibbles, c: Array) -> None:
    """Write x @ weight to `c`: float32 (M, K) and (M, N), the rows of `c` contiguous."""
    rows, inner = x.shape
    if not c.size:
        return
    if rows > FEW_ROWS:
        _multiply_widened(x, weight, c)
        return
    groups, size = weight.groups, weight.group_size
    filled = np.zeros((rows, groups * size), np.float32)
    filled[:, :inner] = x
    offsets = filled.reshape(rows, groups, size).sum(axis=2) * np.float32(-8)
    parts = filled.reshape(rows, groups * size // NIBBLES, NIBBLES) * _DIVIDED
    kernels, width = library(nibble_kernels), panel_width(FLOAT32)
    tiles = -(-len(weight.panels) // _PANELS)
    panels = contiguous(weight.panels, weight.panels.dtype)
    scales = contiguous(weight.scales.view(np.uint16), _BITS)
    _multiply[FLOAT32](
        tiles,
        *(parts.reshape(rows, groups * size), offsets, panels, scales, c),
        *(groups, size // NIBBLES, width, kernels["rows2"], kernels["rows2_edge"]),
        *(kernels["rows1"], kernels["rows1_edge"]),
        threads=threads_for(c.size * inner, _SERIAL, tiles),
    )


def _multiply_widened(x: Array, weight: PackedNibbles, c: Array) -> None:
    """Widen some panels at a time to floats, and multiply these."""
    kernels, width = library(nibble_kernels), panel_width(FLOAT32)
    groups, size = weight.groups, weight.group_size
    depth, none = groups * size, empty((0,), FLOAT32)
    filled = x
    if depth > x.shape[1]:
        filled = np.zeros((len(x), depth), np.float32)
        filled[:, : x.shape[1]] = x
    step = max(1, _WIDENED // max(depth * width * FLOAT32.itemsize, 1))
    codes = contiguous(weight.panels, weight.panels.dtype)
    scales = contiguous(weight.scales.view(np.uint16), _BITS)
    for first in range(0, len(weight.panels), step):
        count = min(step, len(weight.panels) - first)
        panels = temporary("nibbles", (count, depth * width), FLOAT32)
        _widen[FLOAT32](
            count,
            *(codes[first:], scales[first:], panels, groups, size // NIBBLES, kernels["widen"]),
            threads=threads_for(panels.size, _SERIAL_WIDENED, count),
        )
        multiply_packed(filled, panels, none, NONE, c[:, first * width : (first + count) * width])
