"""What is done to a tile of a product before it leaves the cache: add a bias, apply an activation.

The activations are functions of one number, shared by the epilogue and by the elementwise kernel that
`core.activations` calls.
"""

import math
from typing import Any

import numpy as np
from numba import types

from tinytorch.runtime.arrays import FLOATS, Array, DType, compute_dtype, contiguous, convert, empty
from tinytorch.runtime.compile import device_function, tile_kernel
from tinytorch.runtime.threads import threads_for

NONE, RELU, SIGMOID, TANH, SILU, GELU = range(6)
ACTIVATIONS = {None: NONE, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH, "silu": SILU, "gelu": GELU}
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_BLOCK = 4096  # elements a tile: at 17 ns for a tanh (Zen 3), 70 us of work against 1 us of launch


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


@device_function
def relu(v):
    """max(0, v), with NaN staying NaN: a comparison with NaN is false."""
    return 0 if v <= 0 else v


@device_function
def sigmoid(v):
    """1 / (1 + exp(-v)), with the exponential of a negative number only: it cannot overflow."""
    e = math.exp(-abs(v))
    return (1.0 if v >= 0 else e) / (1.0 + e)


@device_function
def activate(code, v):
    """Apply an activation to one number. NaN stays NaN in all of them."""
    if code == RELU:
        return relu(v)
    if code == SIGMOID:
        return sigmoid(v)
    if code == TANH:
        return math.tanh(v)
    if code == SILU:
        return v * sigmoid(v)
    # GELU in its tanh form: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    return 0.5 * v * (1.0 + math.tanh(_SQRT_2_OVER_PI * (v + 0.044715 * v * v * v)))


@device_function
def store(source, c, i0, j0, bias, code):
    """Write activation(source + bias) to rows i0... and columns j0... of `c`; an empty bias is none."""
    for i in range(source.shape[0]):
        line, row = source[i], c[i0 + i, j0 : j0 + source.shape[1]]
        if bias.size:
            part = bias[j0 : j0 + source.shape[1]]
            for j in range(line.size):
                line[j] += part[j]
        if code == NONE:
            for j in range(line.size):
                row[j] = line[j]
        elif code == RELU:
            for j in range(line.size):
                row[j] = relu(line[j])
        else:
            for j in range(line.size):
                row[j] = activate(code, line[j])


def for_integers(code: int, dtype: DType) -> int:
    """Return what the kernel may apply itself: an integer is no number until it is cut to its own type."""
    return code if dtype in FLOATS else NONE


def finish_integers(code: int, result: Array) -> Array:
    """Apply ReLU to an integer result in place, if that is what `code` says and it was left to do."""
    if code == RELU and result.dtype.kind == "i":
        np.maximum(result, 0, out=result)
    return result


@tile_kernel(lambda T: (T[::1], T[::1], types.int64))
def _elementwise(tile, thread, x, out, code):
    for i in range(tile * _BLOCK, min((tile + 1) * _BLOCK, x.size)):
        out[i] = activate(code, x[i])


def apply(name: str, x: Array) -> Array:
    """Apply "sigmoid", "tanh", "silu" or "gelu" to every element of a float array."""
    code = activation_code(name, x.dtype)
    computed = compute_dtype(x.dtype)
    source = contiguous(x, computed).reshape(-1)
    result = empty(source.shape, computed)
    tiles = -(-source.size // _BLOCK)
    _elementwise[computed](tiles, source, result, code, threads=threads_for(source.size, 2 * _BLOCK, tiles))
    return convert(result.reshape(x.shape), x.dtype)
