"""A dense layer in one kernel: activation(x @ weight + bias), with weights that may be packed ahead.

Packing rearranges a weight once into the panels that the kernel streams, so that a call neither gathers
strided rows nor copies (half types are widened to float32 at each call, unless the CPU multiplies them);
int8 packing also quarters the bytes, and quantizes each row of `x` as it comes.
"""

import math
from types import NoneType
from typing import Any

import numpy as np
from numpy import ndarray

from tinytorch.ops import quantize as quantization
from tinytorch.ops.epilogue import activation_code
from tinytorch.ops.matmul import loops
from tinytorch.ops.product import product
from tinytorch.ops.registry import Operation, draw, product_bound, rounding
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.ops.weights.floats import pack_floats, pack_widened
from tinytorch.ops.weights.integers import SYMMETRIC, pack_quantized
from tinytorch.ops.weights.nibbles import pack_groups
from tinytorch.runtime.arrays import (
    BFLOAT16,
    FLOAT32,
    FLOAT64,
    FLOATS,
    HALVES,
    INT4,
    INT8,
    SUPPORTED,
    Array,
    DType,
    common_dtype,
    compute_dtype,
    convert,
    empty,
    like,
    or_empty,
    read,
)
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.output import Output
from tinytorch.simd.activation import ACTIVATIONS, RELU

_PACKABLE = (*FLOATS, INT8, INT4)


def pack_weight(
    weight: Any,
    dtype: Any = None,
    weight_only: bool = False,
    group_size: int = 32,
    activations: Any = None,
    scales: Any = None,
) -> PackedWeight:
    """Pack a (in, out) weight for `linear`; `dtype` converts it, "int8" to one symmetric scale per output.

    With int8 weights `linear` brings each row of its input to int8, too, and multiplies in integers. Their
    `activations` are "symmetric" (max-abs / 127 of each row, the default), "asymmetric" (the row's own range,
    with a zero point) or a pair (scale, zero_point) for all rows, known beforehand: `compress.calibrate`;
    what lies beyond it saturates. With `weight_only` the input stays as it is, and the weight is widened as
    it is read: more accurate, and as fast where a few rows wait for the weight to come from memory. "int4" is
    always so: codes of 4 bits, a bfloat16 scale for each `group_size` (32, 64 or 128) of them along the
    input, so 4.5, 4.25 or 4.125 bits a weight; an infinite input gives NaN. With "bfloat16" weights,
    `activations="bfloat16"` rounds float32 rows to bfloat16 too, for CPUs that multiply pairs of them. A
    weight that was brought to int8 elsewhere is given as its codes with their `scales`, a number or one for
    each output.

    Raises ValueError if it is not 2-D, for integers not finite, for another `group_size`, or arguments that
    are for another dtype; TypeError for another dtype.

    >>> import numpy as np
    >>> pack_weight(np.ones((64, 64), np.float32), dtype="int8")
    PackedWeight(shape=(64, 64), dtype=int8, nbytes=4608)
    """
    array = read("weight", weight)
    if array.ndim != 2:
        raise ValueError(f"weight must have shape (in, out); it has shape {array.shape}")
    target = array.dtype if dtype is None else _packable(dtype)
    if weight_only and target not in (INT8, INT4):
        raise ValueError(f"weight_only is for dtype='int8' (or 'int4', which always is), not {target}")
    rounds = isinstance(activations, str) and activations == "bfloat16"
    if activations is not None and (target != INT8 or weight_only) and not (rounds and target == BFLOAT16):
        kept = f"{target}, weight only" if weight_only else target
        raise ValueError(
            f"activations={activations!r} does not go with a weight in {kept}: they are for 'int8', as "
            "'symmetric', 'asymmetric' or a pair, and for 'bfloat16'"
        )
    if scales is not None and (array.dtype != INT8 or target != INT8):
        raise TypeError(f"scales go with a weight of int8 codes, not {array.dtype} to be kept as {target}")
    if target == INT8:
        coded = _codes(array, scales)
        if weight_only:
            return pack_widened(*coded)
        return pack_quantized(*coded, SYMMETRIC if activations is None else activations)
    if target == INT4:
        return pack_groups(array, group_size)
    if target not in FLOATS:
        choices = ", ".join(map(str, _PACKABLE))
        raise TypeError(f"weight has dtype {target}, which is not packed; pass dtype= one of {choices}")
    return pack_floats(array, target, rounds)


def _codes(weight: Array, scales: Any) -> tuple[Array, Array]:
    """Return int8 codes and the scale of each output."""
    if scales is None:
        return quantization.quantize_calibrated(weight, axis=1, name="weight")
    given = quantization.check_scale("scales", read("scales", scales))
    if given.shape not in ((), weight.shape[1:]):
        raise ValueError(
            f"scales have shape {given.shape}; a weight {weight.shape} needs ({weight.shape[1]},)"
        )
    return weight, np.broadcast_to(given, weight.shape[1:]).copy()


def _packable(dtype: Any) -> DType:
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)  # not None: NumPy takes None for float64
    if found not in _PACKABLE:
        raise TypeError(f"cannot pack a weight as {dtype!r:.60}; there are {', '.join(map(str, _PACKABLE))}")
    return found


def _reference(x: Array, weight: Array, bias: Array) -> Array:
    exact = np.float64 if np.result_type(x, weight) in FLOATS else np.result_type(x, weight)
    y = x.astype(exact) @ weight.astype(exact) + bias.astype(exact)
    return np.where(y <= 0, 0, y).astype(y.dtype)


def _bound(x: Array, weight: Array, bias: Array) -> Array:
    ones = np.ones((*x.shape[:-1], 1), x.dtype)
    return product_bound(
        np.concatenate((x, ones), -1),
        np.concatenate((weight, bias[None]), 0),
        np.result_type(x, weight),
        x.shape[-1] + 1,
    )


def _cost(x: Array, weight: Array | PackedWeight, bias: Array) -> Cost:
    rows = math.prod(x.shape[:-1])
    if isinstance(weight, PackedWeight):
        multiply_adds, result = weight.multiply_adds, weight.result_dtype(x.dtype, None)
    else:
        multiply_adds, result = weight.size, np.result_type(x, weight)
    size = rows * weight.shape[1]
    read, written = x.nbytes + weight.nbytes + bias.nbytes, size * result.itemsize
    return Cost(2 * (rows * multiply_adds + size), read, written)


def _inputs(rng: np.random.Generator, shape: tuple[int, int, int], dtype: DType) -> tuple[Array, ...]:
    rows, inner, columns = shape
    return draw(rng, (rows, inner), dtype), draw(rng, (inner, columns), dtype), draw(rng, (columns,), dtype)


LINEAR = Operation(
    "linear",  # with bias and ReLU
    inputs=_inputs,
    reference=_reference,
    bound=_bound,
    cost=_cost,
    shapes=(
        (1, 1, 1), (1, 64, 10), (5, 7, 3), (4, 300, 257), (130, 260, 300), (0, 3, 4), (3, 0, 4), (3, 4, 0),
    ),
)  # fmt: skip


@LINEAR.rung("python loops", slow=True, dtypes=FLOATS)
def linear_loops(x: Array, weight: Array, bias: Array) -> Array:
    """Three loops over Python numbers, a sum and a comparison."""
    wide = loops(x.astype(np.float64), weight.astype(np.float64)) + bias.astype(np.float64)
    return convert(
        np.array([[0 if v <= 0 else v for v in row] for row in wide.tolist()]).reshape(wide.shape), x.dtype
    )


@LINEAR.rung("numpy", dtypes=tuple(dtype for dtype in SUPPORTED if dtype not in HALVES))
def linear_numpy(x: Array, weight: Array, bias: Array) -> Array:
    """NumPy: a product, a sum and a maximum."""
    y = x @ weight + bias
    return np.maximum(y, np.zeros((), y.dtype))


@LINEAR.rung("fused")
def linear_fused(x: Array, weight: Array, bias: Array) -> Array:
    """One kernel: bias and ReLU applied while the tile is in the cache."""
    return product(x, weight, bias, RELU)


def _ahead(dtype: str | None, weight_only: bool = False) -> Any:
    """Pack the weight before the call that is timed, as a network does when it is loaded."""

    def prepare(x: Array, weight: Array, bias: Array) -> Any:
        packed = pack_weight(weight, dtype, weight_only)
        return lambda x, weight, bias: _linear_packed(x, packed, bias, RELU, None)

    return prepare


@LINEAR.rung("fused, packed weights", dtypes=FLOATS, prepare=_ahead(None))
def linear_fused_packed(x: Array, weight: Array, bias: Array) -> Array:
    """The fused kernel on weights packed beforehand."""
    return _linear_packed(x, pack_weight(weight), bias, RELU, None)


def _int8_parts(x: Array, weight: Array) -> tuple[Array, Array]:
    """The exact int8 product and the magnitude that its rounding goes with."""
    x_scales = quantization.calibrate(x, 0, x.dtype)[:, None]
    scales = quantization.calibrate(weight, 1, weight.dtype)
    return quantization.reference_codes(x, x_scales) @ quantization.reference_codes(
        weight, scales
    ), x_scales.astype(np.float64) * scales


def _int8_reference(x: Array, weight: Array, bias: Array) -> Array:
    total, scale = _int8_parts(x, weight)
    return np.maximum(total * scale + bias, 0)


def _int8_bound(x: Array, weight: Array, bias: Array) -> Array:
    total, scale = _int8_parts(x, weight)
    return 2 * rounding(np.abs(total * scale) + np.abs(bias), x.dtype)


@LINEAR.rung(
    "int8, packed weights",
    dtypes=(FLOAT32, FLOAT64),
    reference=_int8_reference,
    bound=_int8_bound,
    prepare=_ahead("int8"),
)
def linear_int8(x: Array, weight: Array, bias: Array) -> Array:
    """Weights in int8, one scale per output; each row of x quantized in the call."""
    return _linear_packed(x, pack_weight(weight, "int8"), bias, RELU, None)


def _kept(dtype: str) -> dict[str, Any]:
    """Return reference and bound of a layer whose weight is kept in integers and meets floats."""

    def values(weight: Array) -> Array:
        return pack_weight(weight, dtype, weight_only=True).values().astype(np.float64)

    def reference(x: Array, weight: Array, bias: Array) -> Array:
        return np.maximum(x.astype(np.float64) @ values(weight) + bias, 0)

    def bound(x: Array, weight: Array, bias: Array) -> Array:
        # Sums are of codes, those of int4 from 0 to 15 until 8 is taken away: up to 3 times the largest.
        largest = np.abs(values(weight)).max(axis=0, initial=0) * np.ones((len(weight), 1))
        error = product_bound(x, 3 * largest, x.dtype, len(weight) + 1)
        return error + 3 * rounding(np.abs(x @ values(weight)) + np.abs(bias), x.dtype)

    return {"reference": reference, "bound": bound, "prepare": _ahead(dtype, weight_only=True)}


@LINEAR.rung("int8, weight only", dtypes=(FLOAT32, FLOAT64), **_kept("int8"))
def linear_int8_weight(x: Array, weight: Array, bias: Array) -> Array:
    """Weights in int8, widened as they are read; x as it is."""
    return _linear_packed(x, pack_weight(weight, "int8", weight_only=True), bias, RELU, None)


@LINEAR.rung("int4, weight only", dtypes=(FLOAT32, FLOAT64), **_kept("int4"))
def linear_int4_weight(x: Array, weight: Array, bias: Array) -> Array:
    """Weights in 4 bits, a scale for each 32 of them; x as it is."""
    return _linear_packed(x, pack_weight(weight, "int4"), bias, RELU, None)


def _given(x: Any, weight: Any, bias: Any) -> tuple[Array, Array | PackedWeight, Array]:
    matrix = weight if isinstance(weight, PackedWeight) else read("weight", weight)
    rows = read("x", x)
    return rows, matrix, np.empty(0, rows.dtype) if bias is None else read("bias", bias)


def _computed(x: Array, weight: Array | PackedWeight, bias: Array) -> DType:
    if isinstance(weight, PackedWeight):
        return weight.computed(compute_dtype(weight.result_dtype(x.dtype, None)))
    return np.result_type(x, weight)


def linear(x: Any, weight: Any, bias: Any = None, activation: str | None = None, out: Any = None) -> Any:
    """Return activation(x @ weight + bias): x (..., in), weight (in, out) or packed, bias (out,).

    `activation` is None, "relu", "sigmoid", "tanh", "silu" or "gelu" (its tanh form). An int8 packed weight,
    unless it is packed with `weight_only`, brings `x` to int8, as its `activations` say, and multiplies in
    integers. The result is of the kind that was given, or `out` itself.

    Raises ValueError naming the shapes that do not fit, for an unknown activation, an `out` of another shape
    or dtype or that overlaps an input, and NaN or inf in `x` with int8 weights; TypeError for a dtype that
    kernels do not take.

    >>> import numpy as np
    >>> linear(np.ones((2, 3)), np.ones((3, 2)), bias=np.array([-4.0, 1.0]), activation="relu")
    array([[0., 4.],
           [0., 4.]])
    """
    if type(x) is ndarray and isinstance(weight, PackedWeight):
        result = _plain(x, weight, bias, activation, out)
        if result is not None:
            return result
    rows = read("x", x)
    offsets = None if bias is None else read("bias", bias)
    packed = weight if isinstance(weight, PackedWeight) else None
    matrix = None if packed else read("weight", weight)
    shape = weight.shape if matrix is None else matrix.shape
    if rows.ndim == 0 or len(shape) != 2 or rows.shape[-1] != shape[0]:
        raise ValueError(f"x {rows.shape} does not fit weight {shape}: x must be (..., in), weight (in, out)")
    if offsets is not None and offsets.shape != shape[1:]:
        raise ValueError(f"bias has shape {offsets.shape}; weight {shape} needs ({shape[1]},)")
    if packed:
        code = activation_code(activation, FLOAT32)
        result = _linear_packed(rows, packed, offsets, code, out)
    else:
        assert matrix is not None
        dtype = common_dtype(x=rows, weight=matrix, bias=offsets)
        code = activation_code(activation, dtype)
        wide = (rows, matrix) if dtype in (rows.dtype, matrix.dtype) else (convert(rows, dtype), matrix)
        result = product(*wide, offsets, code, out)
    return like(result, x, weight, bias) if out is None else out


def _plain(x: Array, weight: PackedWeight, bias: Any, activation: Any, out: Any) -> Array | None:
    """Return the layer's result for the plainest arguments, of one float dtype; else None.

    A row through a small layer takes ten microseconds; looking at every argument properly took twenty.
    """
    dtype, columns = x.dtype, weight.shape[1]
    if dtype is not FLOAT32 and dtype is not FLOAT64:
        return None
    if x.ndim != 2 or x.shape[1] != weight.shape[0] or not x.size or not columns:
        return None
    if type(activation) not in (NoneType, str) or activation not in ACTIVATIONS:
        return None
    if bias is not None and (
        type(bias) is not ndarray or bias.dtype is not dtype or bias.shape != (columns,)
    ):
        return None
    c = empty((len(x), columns), dtype) if out is None else out
    if type(c) is not ndarray or c.dtype is not dtype or c.ndim != 2 or not c.flags.writeable:
        return None
    return c if weight.at_once(x, bias, ACTIVATIONS[activation], c) else None


def _linear_packed(x: Array, weight: PackedWeight, bias: Array | None, code: int, out: Any) -> Array:
    dtype = weight.result_dtype(x.dtype, None if bias is None else bias.dtype)
    computed = compute_dtype(dtype)
    shape = (*x.shape[:-1], weight.shape[1])
    output = Output(out, shape, dtype, computed, (x, bias), rows=x.ndim == 2 and weight.writes_rows)
    count = math.prod(x.shape[:-1])
    if output.buffer.size:
        rows = weight.rows(x.reshape(count, weight.shape[0]), computed)
        buffer = output.buffer.reshape(count, weight.shape[1])
        weight.multiply(rows, or_empty(bias, computed), code, buffer)
    return output.take()


for _function in (linear, _linear_packed):
    LINEAR.counts(_function, _given, _computed)
