"""Weights that are mostly zeros, wherever they fall: `simd.sparse.columns` as a packed weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import types

from tinytorch.ops.epilogue import finish_rows
from tinytorch.ops.launch import address
from tinytorch.ops.plan import packing
from tinytorch.ops.weights.base import Form, PackedWeight, expect, float_dtype
from tinytorch.ops.weights.blocks import check_starts
from tinytorch.runtime.arrays import INT32, INT64, Array, DType, contiguous, convert
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.intrinsics import call_kernel
from tinytorch.runtime.scratch import scratch, temporary
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.build import library
from tinytorch.simd.sparse import WIDE, sparse_kernels
from tinytorch.simd.target import chosen

#: Columns that a thread takes at a time: their results stay in L1 until they are turned back.
_COLUMNS = 64
#: Multiply-adds below which one thread takes all.
_SERIAL = 200_000
_UINT16 = np.dtype(np.uint16)


@tile_kernel(
    lambda T: (
        *(T[:, ::1], types.int64[::1], types.int64, T[::1], types.Array(T, 2, "A"), T[:, ::1]),
        *(types.int64, types.int64, types.int64),
    )
)
def _multiply(tile, thread, x, starts, indices, values, c, memory, width, row_tiles, kernel):
    """Some columns of C at `width` rows: turned, as the kernel writes them, then as they belong."""
    i, first = tile % row_tiles * width, tile // row_tiles * _COLUMNS
    count, rows = min(_COLUMNS, c.shape[1] - first), min(width, c.shape[0] - i)
    turned = memory[thread]
    call_kernel(
        kernel,
        (
            count, address(starts) + first * 8, indices, address(values), address(x[tile % row_tiles]),
            address(turned),
        ),
    )  # fmt: skip
    for r in range(rows):
        for j in range(count):
            c[i + r, first + j] = turned[j * width + r]


@dataclass(frozen=True, eq=False, repr=False)
class SparseWeight(PackedWeight):
    """A matrix of which only the numbers that are not zero are kept, column by column."""

    starts: Array  # (out + 1,) int64: where the numbers of each column begin
    indices: Array  # (numbers,) uint16, or int32 where there are more rows: the row of each
    numbers: Array  # (numbers,)

    kind: ClassVar[str] = "sparse"

    @property
    def dtype(self) -> DType:
        """What the weights are kept as."""
        return self.numbers.dtype

    @property
    def density(self) -> float:
        """The share of numbers that are there."""
        size = self.shape[0] * self.shape[1]
        return len(self.numbers) / size if size else 1.0

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds that a row of the input takes."""
        return len(self.numbers)

    def arrays(self) -> dict[str, Array]:
        """Return what it consists of."""
        return {"starts": self.starts, "indices": self.indices, "numbers": self.numbers}

    def options(self) -> Form:
        """Return what the arrays need to be understood."""
        return {"dtype": str(self.dtype)}

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form
    ) -> "SparseWeight":
        """Make a weight of its arrays; ValueError for a number that lies outside the matrix."""
        count = len(arrays["numbers"])
        starts = expect(arrays, "starts", INT64, (shape[1] + 1,))
        indices = expect(arrays, "indices", _index_dtype(shape[0]), (count,))
        numbers = expect(arrays, "numbers", float_dtype(options["dtype"]), (count,))
        check_starts(starts, count)
        if count and (indices.min() < 0 or indices.max() >= shape[0]):
            raise ValueError(f"numbers of a weight {shape} lie outside it")
        return cls(shape, starts, indices, numbers)

    def values(self) -> Array:
        """Return the (in, out) matrix, zeros included."""
        whole = np.zeros(self.shape, self.dtype)
        whole[self.indices, np.repeat(np.arange(self.shape[1]), np.diff(self.starts))] = self.numbers
        return whole

    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write the layer's result to `out`."""
        (rows, inner), dtype = x.shape, out.dtype
        lanes = chosen().lanes(dtype)
        name, width = (
            ("row", 1) if rows == 1 else ("vector", lanes) if rows <= lanes else ("wide", WIDE * lanes)
        )
        row_tiles = -(-rows // width)
        if width == 1:
            turned = x
        else:
            turned = temporary("turned", (row_tiles, inner * width), dtype)
            turn = packing(dtype)
            for tile, i in enumerate(range(0, rows, width)):
                some = x[i : i + width]
                turn.call(
                    *("transposed", width // lanes, len(some), inner, some.ctypes.data, x.strides[0]),
                    *(turned[tile].ctypes.data, width * dtype.itemsize),
                )
        tiles = row_tiles * -(-self.shape[1] // _COLUMNS)
        threads = threads_for(rows * len(self.numbers), _SERIAL, tiles)
        indices = contiguous(self.indices, self.indices.dtype)
        kernel = library(sparse_kernels, dtype)[f"columns_{name}{indices.itemsize}"]
        numbers = contiguous(convert(self.numbers, dtype), dtype)
        _multiply[dtype](
            tiles,
            *(turned, contiguous(self.starts, INT64), indices.ctypes.data, numbers, out),
            *(scratch(threads, _COLUMNS * width, dtype), width, row_tiles, kernel),
            threads=threads,
        )
        finish_rows(out, bias[:0], bias, activation)


def _index_dtype(inner: int) -> DType:
    return _UINT16 if inner <= 1 << 16 else INT32


def pack_sparse(weight: Array) -> SparseWeight:
    """Keep of a (in, out) float matrix the numbers that are not zero."""
    column, row = np.nonzero(weight.T)
    starts = np.zeros(weight.shape[1] + 1, np.int64)
    np.cumsum(np.bincount(column, minlength=weight.shape[1]), out=starts[1:])
    indices = row.astype(_index_dtype(weight.shape[0]))
    return SparseWeight((weight.shape[0], weight.shape[1]), starts, indices, weight[row, column])
