"""Kernels that compute in int8: a product with int32 accumulators, and ReLU in the integer domain.

Both operands of the product run along K, so that the compiler's SIMD multiplies pairs of neighbours and
adds them in one instruction. An int32 holds 2**31 / 128**2 = 131,072 such products; K is cut into chunks
below that and the chunks are added in int64, so no K overflows.
"""

from typing import Any

import numpy as np
from numba import types

from tinytorch.ops.elementwise import BLOCK, RELU
from tinytorch.ops.elementwise import SERIAL as RELU_SERIAL
from tinytorch.ops.epilogue import finish_rows
from tinytorch.ops.matmul import MATMUL
from tinytorch.ops.plan import SERIAL
from tinytorch.ops.product import ONLY, result_shape, stacks
from tinytorch.ops.quantize import calibrate, quantized, reference_codes, result_dtype
from tinytorch.ops.registry import rounding
from tinytorch.runtime.arrays import FLOAT32, FLOAT64, INT8, Array, contiguous, empty
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.activation import NONE

_CHUNK = 1 << 16
_ROWS, _COLUMNS = 64, 64  # a tile; at K = 1024 both sides of it are 64 KB, in L2


@tile_kernel(
    lambda T: (
        *(types.int8[:, :, ::1], types.int8[:, :, ::1], types.int64[::1], types.int64[::1]),
        *(types.float64[::1], types.float64[::1], T[:, :, ::1]),
    )
)
def _product(tile, thread, a, b, a_index, b_index, a_scales, b_scales, out):
    """One tile of the batch; `b` is (batch, N, K). Scales: one for all, or one per row and per column."""
    rows, inner, columns = out.shape[1], a.shape[2], out.shape[2]
    row_tiles, column_tiles = -(-rows // _ROWS), -(-columns // _COLUMNS)
    item, within = tile // (row_tiles * column_tiles), tile % (row_tiles * column_tiles)
    i0, j0 = (within % row_tiles) * _ROWS, (within // row_tiles) * _COLUMNS
    i1, j1 = min(i0 + _ROWS, rows), min(j0 + _COLUMNS, columns)
    left, right, c = a[a_index[item]], b[b_index[item]], out[item]
    last = columns - 1
    for j in range(j0, j1, 4):
        for i in range(i0, i1):
            t0, t1, t2, t3 = 0, 0, 0, 0
            for k0 in range(0, inner, _CHUNK):
                k1 = min(k0 + _CHUNK, inner)
                x = left[i, k0:k1]
                # Past the last column the last one is computed again; only columns that exist are stored.
                y0, y1 = right[j, k0:k1], right[min(j + 1, last), k0:k1]
                y2, y3 = right[min(j + 2, last), k0:k1], right[min(j + 3, last), k0:k1]
                s0, s1, s2, s3 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
                for k in range(k1 - k0):
                    value = np.int32(x[k])
                    s0 = np.int32(s0 + np.int32(value * np.int32(y0[k])))
                    s1 = np.int32(s1 + np.int32(value * np.int32(y1[k])))
                    s2 = np.int32(s2 + np.int32(value * np.int32(y2[k])))
                    s3 = np.int32(s3 + np.int32(value * np.int32(y3[k])))
                t0 += s0
                t1 += s1
                t2 += s2
                t3 += s3
            scale = a_scales[i if a_scales.size > 1 else 0]
            # One scale after the other: their product may be out of range where the result is not.
            step = 1 if b_scales.size > 1 else 0
            c[i, j] = t0 * scale * b_scales[j * step]
            if j + 1 < j1:
                c[i, j + 1] = t1 * scale * b_scales[(j + 1) * step]
            if j + 2 < j1:
                c[i, j + 2] = t2 * scale * b_scales[(j + 2) * step]
            if j + 3 < j1:
                c[i, j + 3] = t3 * scale * b_scales[(j + 3) * step]


def product_int8(
    a: Array, b: Array, a_scales: Array, b_scales: Array, bias: Array, code: int, out: Array
) -> None:
    """Write activation(a_scales * b_scales * (a @ b.T) + bias) to `out`: a (M, K), b (N, K) int8."""
    _run(a[None], b[None], ONLY, ONLY, a_scales, b_scales, out[None])
    if bias.size or code != NONE:
        finish_rows(out, bias, code)


def _run(
    a: Array,
    b: Array,
    a_index: Array,
    b_index: Array,
    a_scales: Array,
    b_scales: Array,
    out: Array,
) -> None:
    batch, rows, columns = out.shape
    tiles = batch * -(-rows // _ROWS) * -(-columns // _COLUMNS)
    threads = threads_for(out.size * a.shape[2], SERIAL, tiles)
    arrays = (contiguous(a, INT8), contiguous(b, INT8), a_index, b_index)
    scales = (a_scales.astype(np.float64), b_scales.astype(np.float64))
    _product[out.dtype](tiles, *arrays, *scales, out, threads=threads)


def quantized_product(
    a: Array, b: Array, scale_a: Any = None, scale_b: Any = None
) -> tuple[Array, list[str | None]]:
    """Return a @ b computed in int8, and what there is to say about values that saturated."""
    result_shape(a, b)
    left = quantized(a, scale_a, name="A", scale_name="scale_A")
    right = quantized(b, scale_b, name="B", scale_name="scale_B")
    p = stacks(left.codes, right.codes, INT8)
    out = empty(p.matrices, result_dtype(a, b))
    columns = p.b.transpose(0, 2, 1)
    _run(p.a, columns, p.a_index, p.b_index, left.factors, right.factors, out)
    complaints = [
        None if scale is None else result.complaint(name)
        for name, scale, result in (("A", scale_a, left), ("B", scale_b, right))
    ]
    return out.reshape(p.shape), complaints


def _codes(x: Array) -> tuple[Array, float]:
    scale = calibrate(x, None, FLOAT64 if x.dtype == FLOAT64 else FLOAT32)
    return reference_codes(x, scale[0]), float(scale[0])


def _product_reference(a: Array, b: Array) -> Array:
    (left, scale_a), (right, scale_b) = _codes(a), _codes(b)
    return (left @ right) * (scale_a * scale_b)


@MATMUL.rung(
    "quantized",
    dtypes=(FLOAT32, FLOAT64),
    reference=_product_reference,
    bound=lambda a, b: 2 * rounding(np.abs(_product_reference(a, b)), result_dtype(a, b)),
)
def matmul_quantized(a: Array, b: Array) -> Array:
    """Both operands quantized to int8 in the call, multiplied in integers and rescaled; all threads."""
    return quantized_product(a, b)[0]


# ReLU


@tile_kernel(lambda T: (types.int8[::1], T[::1], types.float64))
def _relu(tile, thread, codes, out, scale):
    for i in range(tile * BLOCK, min((tile + 1) * BLOCK, codes.size)):
        out[i] = max(codes[i], np.int8(0)) * scale


def quantized_relu_array(x: Array, scale: Any = None) -> tuple[Array, str | None]:
    """Return ReLU of `x` computed on its int8 codes, as floats, and what there is to say of saturation."""
    result = quantized(x, scale)
    out = empty(x.shape, result_dtype(x))
    step = float(result.factors[0])
    tiles = -(-x.size // BLOCK)
    threads = threads_for(x.size, RELU_SERIAL, tiles)
    _relu[out.dtype](tiles, result.codes.reshape(-1), out.reshape(-1), step, threads=threads)
    return out, None if scale is None else result.complaint("x")


def _relu_reference(x: Array) -> Array:
    codes, scale = _codes(x)
    return np.maximum(codes, 0) * scale


@RELU.rung(
    "quantized",
    dtypes=(FLOAT32, FLOAT64),
    reference=_relu_reference,
    bound=lambda x: rounding(_relu_reference(x), result_dtype(x)),
)
def relu_quantized(x: Array) -> Array:
    """Quantized to int8 in the call, compared in integers, rescaled."""
    return quantized_relu_array(x)[0]
