"""Kernels that compute in int8 on arrays of floats: a product, and ReLU in the integer domain."""

import math
from typing import Any

import numpy as np
from numba import types
from numpy import ndarray

from tinytorch.ops.elementwise import BLOCK, RELU
from tinytorch.ops.elementwise import SERIAL as RELU_SERIAL
from tinytorch.ops.integer import DONE, integer_product, run_codes, scaled_product
from tinytorch.ops.matmul import MATMUL
from tinytorch.ops.packed import LONGEST_PART, pack_integers
from tinytorch.ops.product import result_shape, stacks
from tinytorch.ops.quantize import calibrate, check_zero_point, quantized, reference_codes, result_dtype
from tinytorch.ops.registry import rounding
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.ops.weights.integers import IntegerWeight
from tinytorch.runtime.arrays import FLOAT32, FLOAT64, INT8, INT32, INT64, Array, empty, like, or_empty, read
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.output import Output
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.activation import NONE


def quantized_product(
    a: Array, b: Array, scale_a: Any = None, scale_b: Any = None
) -> tuple[Array, list[str | None]]:
    """Return a @ b computed in int8, and what there is to say about values that saturated."""
    result_shape(a, b)
    left = quantized(a, scale_a, name="A", scale_name="scale_A")
    right = quantized(b, scale_b, name="B", scale_name="scale_B")
    p = stacks(left.codes, right.codes, INT8)
    out = empty(p.matrices, result_dtype(a, b))
    weights = [pack_integers(matrix) for matrix in p.b]
    scales, factors = (
        np.broadcast_to(scale, (n,)).copy()
        for scale, n in ((left.factors, out.shape[1]), (right.factors, out.shape[2]))
    )
    for result, i, j in zip(out, p.a_index, p.b_index, strict=True):
        scaled_product(p.a[i], scales, weights[j], factors, or_empty(None, out.dtype), NONE, result)
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


def matmul_integer(a: Any, b: Any, zero_point: int = 0, out: Any = None) -> Any:
    """Return (a - zero_point) @ b of int8 numbers, exact: a (..., K), b (K, N) or packed as int8.

    ONNX's `MatMulInteger`. The result is int32; int64 where K is over 65,792, which an int32 may not hold. Of
    a packed weight the codes are meant, without its scales.

    Raises TypeError unless both are int8, ValueError for shapes that do not fit, a zero point outside int8
    and an `out` that does not fit.

    >>> matmul_integer(np.array([[1, -2]], np.int8), np.array([[127], [-128]], np.int8))
    array([[383]], dtype=int32)
    """
    if type(a) is ndarray and type(b) is IntegerWeight and type(zero_point) is int and not zero_point:
        plain = _plain(a, b, out)
        if plain is not None:
            return plain
    left = read("a", a)
    weight = b.data if isinstance(b, IntegerWeight) else None
    right = read("b", b) if weight is None and not isinstance(b, PackedWeight) else None
    kinds = left.dtype, INT8 if weight is not None else None if right is None else right.dtype
    if kinds != (INT8, INT8):
        given = b if kinds[1] is None else kinds[1]
        raise TypeError(
            f"a and b must be int8, b an array or packed as int8; they are {kinds[0]} and {given}"
        )
    shape: tuple[int, ...] = weight.shape if weight is not None else right.shape if right is not None else ()
    if left.ndim == 0 or len(shape) != 2 or left.shape[-1] != shape[0]:
        raise ValueError(f"a {left.shape} does not fit b {shape}: a must be (..., K), b (K, N)")
    point, inner = check_zero_point(zero_point), shape[0]
    if weight is None:
        assert right is not None
        weight = pack_integers(right)
    dtype = INT32 if inner <= LONGEST_PART else INT64
    output = Output(out, (*left.shape[:-1], shape[1]), dtype, dtype, (left, right))
    if output.buffer.size:
        rows = left.reshape(math.prod(left.shape[:-1]), inner)
        integer_product(rows, weight, point, output.buffer.reshape(len(rows), shape[1]))
    return like(output.take(), a, b) if out is None else out


def _integer_cost(a: Array, b: Any) -> Cost:
    """Count the product of codes: its result is wider than they are."""
    size = math.prod(a.shape[:-1]) * b.shape[1]
    return Cost(2 * size * a.shape[-1], a.nbytes + b.nbytes, size * INT32.itemsize)


MATMUL.counts(
    matmul_integer,
    lambda a, b: (read("a", a), b if isinstance(b, PackedWeight) else read("b", b)),
    computed=lambda *_: INT8,
    cost=_integer_cost,
)
MATMUL.counts(quantized_product, lambda a, b: (a, b), computed=lambda *_: INT8)


def _plain(a: Array, weight: IntegerWeight, out: Any) -> Array | None:
    """Return the product for the plainest arguments, contiguous; else None."""
    if a.dtype is not INT8 or a.ndim != 2 or not a.size or a.shape[1] != weight.shape[0]:
        return None
    if not weight.shape[1] or len(weight.data.parts) > 1:
        return None
    c = empty((len(a), weight.shape[1]), INT32) if out is None else out
    if type(c) is not ndarray or c.dtype is not INT32 or c.ndim != 2 or not c.flags.writeable:
        return None
    return c if run_codes(a, weight.data.parts[0], 0, c) == DONE else None


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
