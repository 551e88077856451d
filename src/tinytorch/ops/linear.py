"""A dense layer in one kernel: activation(x @ weight + bias), with weights that may be packed ahead.

Packing rearranges a weight once into the panels that the kernel streams, so that a call neither gathers
strided rows nor copies (half types are widened to float32 at each call, unless the CPU multiplies them);
int8 packing also quarters the bytes, and quantizes each row of `x` as it comes.
"""

import math
from dataclasses import dataclass, fields
from types import NoneType
from typing import Any

import numpy as np
from numpy import ndarray

from tinytorch.ops import integer
from tinytorch.ops import quantize as quantization
from tinytorch.ops.epilogue import activation_code, finish_rows
from tinytorch.ops.integer import padded, scaled_product
from tinytorch.ops.matmul import loops
from tinytorch.ops.nibbles import (
    GROUPS,
    PackedNibbles,
    multiply_nibbles,
    pack_nibbles,
    quantize_groups,
)
from tinytorch.ops.packed import pack, pack_codes, pack_integers, panel_width, unpack
from tinytorch.ops.plan import in_pairs, prepare_packed
from tinytorch.ops.product import multiply_packed, product, run
from tinytorch.ops.quantize import not_finite
from tinytorch.ops.registry import Cost, Operation, draw, product_bound, rounding
from tinytorch.runtime.arrays import (
    FLOAT32,
    FLOAT64,
    FLOATS,
    HALVES,
    INT4,
    INT8,
    SUPPORTED,
    Array,
    DType,
    bits,
    common_dtype,
    compute_dtype,
    contiguous,
    convert,
    empty,
    like,
    or_empty,
    promote,
    read,
)
from tinytorch.runtime.building import lazy
from tinytorch.runtime.output import Output
from tinytorch.runtime.threads import get_num_threads
from tinytorch.simd.activation import ACTIVATIONS, NONE, RELU

_PACKABLE = (*FLOATS, INT8, INT4)
_NO_BIAS = {dtype: np.empty(0, dtype) for dtype in (FLOAT32, FLOAT64)}


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A weight laid out for `linear`: immutable, picklable, made by `pack_weight`."""

    shape: tuple[int, int]  # (in, out), as it was given
    dtype: DType
    data: Any  # panels of `ops.packed`: an array of floats or codes, `PackedIntegers` or `PackedNibbles`
    scales: Array | None = None  # int8: one per output channel
    weight_only: bool = False  # integers that meet floats

    def __post_init__(self) -> None:
        """Make the arrays read-only, here and after unpickling."""
        arrays = (self.data,) if isinstance(self.data, ndarray) else self.data.arrays
        for array in (self.scales, *arrays):
            if array is not None:
                array.setflags(write=False)

    @property
    def in_integers(self) -> bool:
        """Whether rows of the input are brought to int8, too, and multiplied in integers."""
        return self.dtype == INT8 and not self.weight_only

    @lazy
    def bits(self) -> Array:
        """The data as compiled code takes it: half types as the 16 bits they are."""
        return bits(self.data)

    @lazy
    def factors(self) -> Array:
        """The scales of int8 as compiled code takes them."""
        assert self.scales is not None
        return padded(self.scales)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: integers as the matrix of their codes."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.dtype == INT4:
            state["data"] = *self.data.codes(), self.data.group_size
        elif self.in_integers:
            state["data"] = self.unpacked()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled weight; the panels of another instruction set are laid out anew for this one."""
        self.__dict__.update(state)
        if self.dtype == INT4:
            self.__dict__["data"] = pack_nibbles(*self.data)
        elif self.in_integers:
            self.__dict__["data"] = pack_integers(self.data)
        elif self.data.shape[1] != self.shape[0] * panel_width(FLOAT32 if self.weight_only else self.dtype):
            plain = unpack(self.data, self.shape)
            self.__dict__["data"] = pack_codes(plain, FLOAT32) if self.weight_only else pack(plain)
        self.__post_init__()

    @property
    def nbytes(self) -> int:
        """Bytes that the weight takes, scales included."""
        return int(self.data.nbytes) + (0 if self.scales is None else self.scales.nbytes)

    def unpacked(self) -> Array:
        """Return the (in, out) matrix that lies in the panels: of floats as given, or of integer codes."""
        if self.dtype == INT4:
            codes: Array = self.data.codes()[0]
            return codes
        return self.data.unpacked() if self.in_integers else unpack(self.data, self.shape)

    def __repr__(self) -> str:
        """Show shape, dtype and size."""
        return f"PackedWeight(shape={self.shape}, dtype={self.dtype}, nbytes={self.nbytes})"


def pack_weight(
    weight: Any, dtype: Any = None, weight_only: bool = False, group_size: int = 32
) -> PackedWeight:
    """Pack a (in, out) weight for `linear`; `dtype` converts it, "int8" to one symmetric scale per output.

    With int8 weights `linear` brings each row of its input to int8, too, and multiplies in integers. With
    `weight_only` the input stays as it is, and the weight is widened as it is read: more accurate, and as
    fast where a few rows wait for the weight to come from memory. "int4" is always so: codes of 4 bits, a
    bfloat16 scale for each `group_size` (32, 64 or 128) of them along the input, so 4.5, 4.25 or 4.125 bits a
    weight.

    Raises ValueError if it is not 2-D, for integers not finite, for another `group_size`, or `weight_only`
    for floats; TypeError for another dtype.

    >>> import numpy as np
    >>> pack_weight(np.ones((64, 64), np.float32), dtype="int8")
    PackedWeight(shape=(64, 64), dtype=int8, nbytes=4608)
    """
    array = read("weight", weight)
    if array.ndim != 2:
        raise ValueError(f"weight must have shape (in, out); it has shape {array.shape}")
    shape = (array.shape[0], array.shape[1])
    target = array.dtype if dtype is None else _packable(dtype)
    if target == INT8:
        codes, scales = quantization.quantize_calibrated(array, axis=1, name="weight")
        data = pack_codes(codes, FLOAT32) if weight_only else pack_integers(codes)
        return PackedWeight(shape, INT8, data, scales, bool(weight_only))
    if target == INT4:
        return PackedWeight(shape, INT4, _nibbles(array, group_size), None, True)
    if weight_only:
        raise ValueError(f"weight_only is for dtype='int8', not {target}")
    if target not in FLOATS:
        choices = ", ".join(map(str, _PACKABLE))
        raise TypeError(f"weight has dtype {target}, which is not packed; pass dtype= one of {choices}")
    return PackedWeight(shape, target, pack(convert(array, target)))


def _nibbles(weight: Array, group_size: Any) -> PackedNibbles:
    if group_size not in GROUPS:
        raise ValueError(f"group_size must be one of {', '.join(map(str, GROUPS))}, not {group_size!r}")
    matrix = convert(weight, FLOAT32)
    if not np.isfinite(matrix).all():
        raise not_finite("weight", matrix, "int4")
    return pack_nibbles(*quantize_groups(matrix, group_size), group_size)


def _packable(dtype: Any) -> DType:
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)  # not None: NumPy takes None for float64
    if found not in _PACKABLE:
        raise TypeError(f"cannot pack a weight as {dtype!r}; there are {', '.join(map(str, _PACKABLE))}")
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


def _cost(x: Array, weight: Array, bias: Array) -> Cost:
    size = math.prod(x.shape[:-1]) * weight.shape[1]
    moved = x.nbytes + weight.nbytes + bias.nbytes + size * np.result_type(x, weight).itemsize
    return Cost(2 * size * (weight.shape[0] + 1), moved)


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


def _ahead(dtype: str | None) -> Any:
    """Pack the weight before the call that is timed, as a network does when it is loaded."""

    def prepare(x: Array, weight: Array, bias: Array) -> Any:
        packed = pack_weight(weight, dtype)
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


def linear(x: Any, weight: Any, bias: Any = None, activation: str | None = None, out: Any = None) -> Any:
    """Return activation(x @ weight + bias): x (..., in), weight (in, out) or packed, bias (out,).

    `activation` is None, "relu", "sigmoid", "tanh", "silu" or "gelu" (its tanh form). An int8 packed weight,
    unless it is packed with `weight_only`, quantizes each row of `x` to int8 (symmetric, max-abs / 127) and
    multiplies in integers. The result is of the kind that was given, or `out` itself.

    Raises ValueError naming the shapes that do not fit, for an unknown activation, an `out` of another shape
    or dtype or that overlaps an input, and NaN or inf in `x` with int8 weights; TypeError for a dtype that
    kernels do not take.

    >>> import numpy as np
    >>> linear(np.ones((2, 3)), np.ones((3, 2)), bias=np.array([-4.0, 1.0]), activation="relu")
    array([[0., 4.],
           [0., 4.]])
    """
    if type(weight) is PackedWeight and type(x) is ndarray:
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
    """Return the layer's result for the plainest arguments, contiguous and of one float dtype; else None.

    A row through a small layer takes ten microseconds; looking at every argument properly took twenty.
    """
    dtype, columns = x.dtype, weight.shape[1]
    narrow = weight.dtype if dtype is FLOAT32 and weight.dtype in HALVES else None
    to_int8 = weight.in_integers and len(weight.data.parts) == 1
    if not (narrow or to_int8 or weight.dtype == dtype) or (dtype is not FLOAT32 and dtype is not FLOAT64):
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
    if to_int8:
        ready = integer.prepare(dtype, dtype, x.shape, columns, get_num_threads())
        rest = c, _NO_BIAS[dtype] if bias is None else bias, ACTIVATIONS[activation]
        done = integer.run(ready, x, weight.data.parts[0], weight.factors, *rest) == integer.DONE
    else:
        prepared = prepare_packed(dtype, x.shape, columns, get_num_threads(), narrow)
        done = run(prepared, x, weight.bits, c, bias, ACTIVATIONS[activation])
    return c if done else None


def _linear_packed(x: Array, weight: PackedWeight, bias: Array | None, code: int, out: Any) -> Array:
    kinds = {"x": x.dtype} if weight.dtype in (INT8, INT4) else {"x": x.dtype, "weight": weight.dtype}
    dtype = promote(**kinds, **({} if bias is None else {"bias": bias.dtype}))
    if weight.dtype in (INT8, INT4) and dtype not in FLOATS:
        dtype = FLOAT32
    if dtype not in FLOATS:
        raise TypeError(f"x {x.dtype} and packed weight {weight.dtype} have no common float dtype")
    computed = compute_dtype(dtype)
    shape = (*x.shape[:-1], weight.shape[1])
    output = Output(out, shape, dtype, computed, (x, bias), rows=x.ndim == 2 and not weight.in_integers)
    count = math.prod(x.shape[:-1])
    buffer = output.buffer.reshape(count, weight.shape[1])
    paired = in_pairs(computed, x.dtype, weight.dtype, count)
    rows = bits(contiguous(x, x.dtype if paired else computed)).reshape(count, weight.shape[0])
    offsets = or_empty(bias, computed)
    if weight.dtype == INT4 and computed == FLOAT32:
        multiply_nibbles(rows, weight.data, buffer)
        finish_rows(buffer, _NO_BIAS[computed], offsets, code)
    elif weight.dtype == INT4:
        multiply_packed(rows, pack(convert(weight.data.values(), computed)), offsets, code, buffer)
    elif weight.weight_only:
        assert weight.scales is not None
        panels = weight.data if computed == FLOAT32 else pack_codes(weight.unpacked(), computed)
        multiply_packed(rows, panels, _NO_BIAS[computed], NONE, buffer, INT8)
        finish_rows(buffer, weight.scales.astype(computed), offsets, code)
    elif weight.dtype != INT8:
        narrow = weight.dtype if computed == FLOAT32 and weight.dtype in HALVES else None
        panels = (
            weight.bits if narrow or weight.dtype == computed else pack(convert(weight.unpacked(), computed))
        )
        multiply_packed(rows, panels, offsets, code, buffer, narrow)
    else:
        _linear_int8(rows, weight, offsets, code, buffer)
    return output.take()


def _linear_int8(x: Array, weight: PackedWeight, bias: Array, code: int, out: Array) -> None:
    """Write a layer whose weight is int8 to `out`, each row of `x` (M, K) brought to int8 on the way."""
    if not out.size:
        return
    assert weight.scales is not None
    if len(weight.data.parts) > 1:
        codes, scales = quantization.quantize_calibrated(x, axis=0, name="x")
        scaled_product(codes, scales.astype(np.float64), weight.data, weight.scales, bias, code, out)
        return
    prepared = integer.prepare(x.dtype, out.dtype, x.shape, weight.shape[1], get_num_threads())
    done = integer.run(prepared, x, weight.data.parts[0], weight.factors, out, bias, code)
    if done == integer.NOT_FINITE:
        raise not_finite("x", x)
    assert done == integer.DONE
