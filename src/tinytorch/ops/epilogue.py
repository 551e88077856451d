"""Activations by name, and as an operation of their own on whole arrays.

What they compute, and how, is in `simd.activation`: the same code that products apply in registers.
"""

from typing import Any

from numba import types

from tinytorch.ops.launch import address
from tinytorch.ops.plan import kernels
from tinytorch.runtime.arrays import FLOATS, Array, DType, compute_dtype, contiguous, convert, empty
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.intrinsics import call_kernel
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.activation import ACTIVATIONS, RELU
from tinytorch.simd.product import ACTIVATION_SHIFT

_BLOCK = 4096  # elements a tile: at 1 ns for a tanh (Zen 3), 4 us of work against 0.1 us to claim it
_SERIAL = 8 * _BLOCK  # elements below which one thread does it all


def activation_code(activation: Any, dtype: DType) -> int:
    """Return the number of an activation; ValueError lists them, TypeError if `dtype` cannot hold it."""
    if activation is not None and not isinstance(activation, str):
        raise TypeError(f"activation must be a name or None, not {type(activation).__name__}")
    if activation not in ACTIVATIONS:
        names = ", ".join(repr(name) for name in ACTIVATIONS)
        raise ValueError(f"unknown activation {activation!r}; there are {names}")
    code = ACTIVATIONS[activation]
    if code > RELU and dtype not in FLOATS:
        raise TypeError(f"activation {activation!r} needs a floating-point result; the dtype is {dtype}")
    return code


@tile_kernel(lambda T: (T[::1], T[::1], types.int64, types.int64))
def _finish(tile, thread, x, out, kernel, flags):
    start = tile * _BLOCK
    count = min(_BLOCK, x.size - start)
    call_kernel(kernel, (1, count, address(x[start:]), 0, address(out[start:]), 0, 0, 0, flags))


@tile_kernel(lambda T: (types.Array(T, 2, "A"), T[::1], T[::1], types.int64, types.int64))
def _finish_rows(tile, thread, c, factors, bias, kernel, flags):
    row = address(c) + tile * c.strides[0]
    scale = address(factors) if factors.size else 0
    offsets = address(bias) if bias.size else 0
    call_kernel(kernel, (1, c.shape[1], row, 0, row, 0, scale, offsets, flags))


def apply(name: str, x: Array) -> Array:
    """Apply "sigmoid", "tanh", "silu" or "gelu" to every element of a float array."""
    flags = activation_code(name, x.dtype) << ACTIVATION_SHIFT
    computed = compute_dtype(x.dtype)
    source = contiguous(x, computed).reshape(-1)
    result = empty(source.shape, computed)
    tiles = -(-source.size // _BLOCK)
    kernel = kernels(computed)["finish"]
    _finish[computed](tiles, source, result, kernel, flags, threads=threads_for(source.size, _SERIAL, tiles))
    return convert(result.reshape(x.shape), x.dtype)


def finish_rows(c: Array, factors: Array, bias: Array, activation: int) -> None:
    """Replace the rows of `c` (M, N) by activation(row * factors + bias), both (N,) or empty.

    Rows are contiguous.
    """
    kernel = kernels(c.dtype)["finish"]
    threads = threads_for(c.size, _SERIAL, len(c))
    _finish_rows[c.dtype](len(c), c, factors, bias, kernel, activation << ACTIVATION_SHIFT, threads=threads)
