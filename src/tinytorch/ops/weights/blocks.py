"""Weights of which only some blocks are there: `simd.sparse.blocks` as a packed weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import types

from tinytorch.ops.epilogue import finish_rows
from tinytorch.ops.launch import address
from tinytorch.ops.plan import cache_bytes
from tinytorch.ops.weights.base import Form, PackedWeight, expect, float_dtype
from tinytorch.runtime.arrays import INT64, Array, DType, contiguous, convert, on_line
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.intrinsics import call_kernel
from tinytorch.runtime.scratch import temporary
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.build import library
from tinytorch.simd.sparse import BLOCK_COLUMNS, BLOCK_ROWS, block_height, sparse_kernels
from tinytorch.simd.target import chosen

#: Panels that a thread takes at a time, and multiply-adds below which one takes all.
_PANELS, _SERIAL = 8, 500_000


@tile_kernel(
    lambda T: (
        *(types.Array(T, 2, "C"), types.int64[::1], types.int64[::1], T[::1], types.Array(T, 2, "A")),
        *(types.int64, types.int64, types.int64, types.int64),
    )
)
def _multiply(tile, thread, x, starts, places, values, c, row_tiles, tile_rows, whole, edge):
    """Some rows of C, at some panels."""
    first, i = tile // row_tiles * _PANELS, tile % row_tiles * tile_rows
    rows = min(tile_rows, c.shape[0] - i)
    for panel in range(first, min(first + _PANELS, starts.size - 1)):
        begin, columns = starts[panel], c.shape[1] - panel * BLOCK_COLUMNS
        kernel = whole if columns >= BLOCK_COLUMNS else edge
        call_kernel(
            kernel,
            (
                rows, starts[panel + 1] - begin, columns, address(x[i]), x.strides[0],
                address(places) + begin * 8,
                address(values) + begin * BLOCK_ROWS * BLOCK_COLUMNS * values.itemsize,
                address(c) + i * c.strides[0] + panel * BLOCK_COLUMNS * c.itemsize, c.strides[0],
            ),
        )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class BlockWeight(PackedWeight):
    """A matrix in blocks of 4 x 16, of which those that hold zeros only are left out."""

    starts: Array  # (panels + 1,) int64: where the blocks of each 16 columns begin
    places: Array  # (blocks,) int64: the first row of each
    blocks: Array  # (blocks, 4, 16)

    kind: ClassVar[str] = "blocks"

    @property
    def dtype(self) -> DType:
        """What the weights are kept as."""
        return self.blocks.dtype

    @property
    def density(self) -> float:
        """The share of blocks that are there."""
        all_blocks = -(-self.shape[0] // BLOCK_ROWS) * (len(self.starts) - 1)
        return len(self.places) / all_blocks if all_blocks else 1.0

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds that a row of the input takes."""
        return int(self.blocks.size)

    def arrays(self) -> dict[str, Array]:
        """Return what it consists of."""
        return {"starts": self.starts, "places": self.places, "blocks": self.blocks}

    def options(self) -> Form:
        """Return what the arrays need to be understood."""
        return {"dtype": str(self.dtype)}

    @classmethod
    def from_arrays(cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form) -> "BlockWeight":
        """Make a weight of its arrays; ValueError for a block that lies outside the matrix."""
        count, panels = len(arrays["places"]), -(-shape[1] // BLOCK_COLUMNS)
        starts = expect(arrays, "starts", INT64, (panels + 1,))
        places = expect(arrays, "places", INT64, (count,))
        dtype = float_dtype(options["dtype"])
        blocks = expect(arrays, "blocks", dtype, (count, BLOCK_ROWS, BLOCK_COLUMNS))
        check_starts(starts, count)
        if count and (places.min() < 0 or places.max() >= shape[0] or np.any(places % BLOCK_ROWS)):
            raise ValueError(f"blocks of a weight {shape} lie outside it")
        return cls(shape, starts, places, blocks)

    def values(self) -> Array:
        """Return the (in, out) matrix, zeros included."""
        inner, columns = self.shape
        panels, count = len(self.starts) - 1, -(-inner // BLOCK_ROWS)
        whole = np.zeros((count, panels, BLOCK_ROWS, BLOCK_COLUMNS), self.dtype)
        whole[self.places // BLOCK_ROWS, np.repeat(np.arange(panels), np.diff(self.starts))] = self.blocks
        rows = whole.transpose(0, 2, 1, 3).reshape(count * BLOCK_ROWS, panels * BLOCK_COLUMNS)
        return np.ascontiguousarray(rows[:inner, :columns])

    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write the layer's result to `out`."""
        inner, target, dtype = self.shape[0], chosen(), out.dtype
        if inner % BLOCK_ROWS:  # a block reads whole rows
            filled = temporary("blocks", (len(x), inner + -inner % BLOCK_ROWS), dtype)
            filled[:, :inner], filled[:, inner:] = x, 0
            x = filled
        _, l2, _ = cache_bytes()
        height = block_height(target, dtype)
        tile_rows = max(1, l2 // 2 // max(x.strides[0], 1) // height) * height
        row_tiles, groups = -(-len(x) // tile_rows), -(-(len(self.starts) - 1) // _PANELS)
        kernels = library(sparse_kernels, dtype)
        blocks = contiguous(convert(self.blocks, dtype), dtype).reshape(-1)
        tiles = row_tiles * groups
        _multiply[dtype](
            tiles,
            *(x, contiguous(self.starts, INT64), contiguous(self.places, INT64), blocks, out),
            *(row_tiles, tile_rows, kernels["blocks"], kernels["blocks_edge"]),
            threads=threads_for(len(x) * blocks.size, _SERIAL, tiles),
        )
        finish_rows(out, bias[:0], bias, activation)


def check_starts(starts: Array, count: int) -> None:
    """Raise ValueError unless starts go up from 0 to `count`."""
    if starts[0] != 0 or starts[-1] != count or np.any(starts[1:] < starts[:-1]):
        raise ValueError("starts of a weight do not go up from 0 to the number of what there is")


def pack_blocks(weight: Array) -> BlockWeight:
    """Keep of a (in, out) float matrix the blocks of 4 x 16 that hold anything but zeros."""
    inner, columns = weight.shape
    count, panels = -(-inner // BLOCK_ROWS), -(-columns // BLOCK_COLUMNS)
    filled = np.zeros((count * BLOCK_ROWS, panels * BLOCK_COLUMNS), weight.dtype)
    filled[:inner, :columns] = weight
    cut = filled.reshape(count, BLOCK_ROWS, panels, BLOCK_COLUMNS).transpose(2, 0, 1, 3)
    panel, row = np.nonzero(np.any(cut != 0, axis=(2, 3)))
    starts = np.zeros(panels + 1, np.int64)
    np.cumsum(np.bincount(panel, minlength=panels), out=starts[1:])
    blocks = on_line(cut[panel, row])
    return BlockWeight((inner, columns), starts, row.astype(np.int64) * BLOCK_ROWS, blocks)
