"""Convolution (cross-correlation, NCHW) as a matrix product whose right side is never stored.

Row k = (channel, dy, dx) of that matrix holds, for every output pixel, the input pixel that weight k meets.
Stored whole it is kh * kw times the image; here each tile gathers the part it needs, DEPTH rows by PIXELS,
into a block that stays in the cache, and hands it to the micro-kernel that products use.
"""

import math
from typing import Any

import numpy as np
from numba import types

from tinytorch.ops.epilogue import activation_code
from tinytorch.ops.launch import address
from tinytorch.ops.plan import SERIAL, kernels
from tinytorch.ops.product import finish_integers
from tinytorch.ops.registry import Operation, draw, product_bound
from tinytorch.runtime.arguments import Pair, pair
from tinytorch.runtime.arrays import (
    FLOATS,
    HALVES,
    SUPPORTED,
    Array,
    DType,
    common_dtype,
    compute_dtype,
    contiguous,
    convert,
    empty,
    like,
    or_empty,
    read,
)
from tinytorch.runtime.compile import tile_kernel
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.intrinsics import call_kernel
from tinytorch.runtime.output import Output
from tinytorch.runtime.scratch import scratch
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.activation import NONE
from tinytorch.simd.product import ACCUMULATE, ACTIVATION_SHIFT
from tinytorch.simd.target import chosen, tile

#: Output pixels of a tile, and rows of the gathered block at a time: 256 KB of float32, half of a Zen 3's L2.
PIXELS = 256
DEPTH = 256


def output_shape(x: Array, weight: Array, stride: Pair, padding: Pair) -> tuple[int, int, int, int]:
    """Return (N, O, OH, OW); ValueError naming the shapes if they do not fit."""
    shapes = f"x {x.shape} and weight {weight.shape}"
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError(f"x must be (N, C, H, W) and weight (O, C, kh, kw); the shapes are {shapes}")
    if x.shape[1] != weight.shape[1]:
        raise ValueError(f"channels differ: {shapes} ({x.shape[1]} against {weight.shape[1]})")
    size = [x.shape[2 + d] + 2 * padding[d] - weight.shape[2 + d] for d in range(2)]
    if min(size) < 0 or min(weight.shape[2:]) < 1:
        raise ValueError(f"the kernel does not fit the padded image: {shapes}, padding {padding}")
    return x.shape[0], weight.shape[0], size[0] // stride[0] + 1, size[1] // stride[1] + 1


def _padded(x: Array, padding: Pair, dtype: DType) -> Array:
    """Return `x` in `dtype`, contiguous, with a border of zeros."""
    if padding == (0, 0):
        return contiguous(x, dtype)
    batch, channels, height, width = x.shape
    result = empty((batch, channels, height + 2 * padding[0], width + 2 * padding[1]), dtype)
    result[...] = 0
    result[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width] = x
    return result


# Declaration. The shapes are (N, C, H, W, O, kh, kw, stride, padding).


def _inputs(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> tuple[Any, ...]:
    n, c, h, w, o, kh, kw, *steps = shape
    stride, padding = ((step, step) for step in steps)
    return (
        draw(rng, (n, c, h, w), dtype),
        draw(rng, (o, c, kh, kw), dtype),
        draw(rng, (o,), dtype),
        stride,
        padding,
    )


def _columns(x: Array, weight: Array, stride: Pair, padding: Pair) -> Array:
    """The matrix that a convolution multiplies with, stored whole: (N, C * kh * kw, OH * OW)."""
    n, _, oh, ow = output_shape(x, weight, stride, padding)
    windows = np.lib.stride_tricks.sliding_window_view(
        _padded(x, padding, x.dtype), weight.shape[2:], axis=(2, 3)
    )
    windows = windows[:, :, :: stride[0], :: stride[1]]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, math.prod(weight.shape[1:]), oh * ow)


def _as_product(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Array:
    """A convolution as one NumPy product, in the dtype of its inputs."""
    shape = output_shape(x, weight, stride, padding)
    matrix = weight.reshape(weight.shape[0], math.prod(weight.shape[1:]))
    return (matrix @ _columns(x, weight, stride, padding) + bias[:, None]).reshape(shape)


def _reference(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Array:
    dtype = np.result_type(x, weight)
    exact = np.float64 if dtype in FLOATS else dtype
    return _as_product(x.astype(exact), weight.astype(exact), bias.astype(exact), stride, padding)


def _bound(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Array:
    shape = output_shape(x, weight, stride, padding)
    columns = _columns(x, weight, stride, padding)
    matrix = np.concatenate((weight.reshape(len(weight), columns.shape[1]), bias[:, None]), 1)
    ones = np.ones((columns.shape[0], 1, columns.shape[2]), x.dtype)
    bound = product_bound(
        matrix, np.concatenate((columns, ones), 1), np.result_type(x, weight), matrix.shape[1]
    )
    return bound.reshape(shape) if bound.ndim else bound


def _cost(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Cost:
    size = math.prod(output_shape(x, weight, stride, padding))
    read, written = x.nbytes + weight.nbytes + bias.nbytes, size * np.result_type(x, weight).itemsize
    return Cost(2 * size * math.prod(weight.shape[1:]), read, written)


CONV2D = Operation(
    "conv2d",
    inputs=_inputs,
    reference=_reference,
    bound=_bound,
    cost=_cost,
    shapes=(
        (1, 1, 1, 1, 1, 1, 1, 1, 0), (2, 1, 8, 8, 8, 3, 3, 1, 1), (1, 3, 7, 9, 5, 3, 2, 2, 1),
        (1, 2, 5, 5, 3, 5, 5, 3, 2), (3, 4, 6, 6, 9, 1, 1, 1, 0), (1, 40, 20, 19, 6, 3, 3, 1, 1),
        (0, 2, 5, 5, 3, 3, 3, 1, 0), (2, 0, 5, 5, 3, 3, 3, 1, 0), (2, 3, 5, 5, 0, 3, 3, 1, 0),
    ),
)  # fmt: skip


@CONV2D.rung("python loops", slow=True, dtypes=FLOATS)
def conv2d_loops(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Array:
    """Seven loops over Python numbers: what a convolution is."""
    shape = n, o, oh, ow = output_shape(x, weight, stride, padding)
    image, taps = _padded(x, padding, x.dtype).tolist(), weight.tolist()
    channels, kh, kw = weight.shape[1:]
    result = []
    for item in range(n):
        for out in range(o):
            for y in range(oh):
                for z in range(ow):
                    total = float(bias[out])
                    for c in range(channels):
                        for dy in range(kh):
                            row, tap = image[item][c][y * stride[0] + dy], taps[out][c][dy]
                            for dx in range(kw):
                                total += row[z * stride[1] + dx] * tap[dx]
                    result.append(total)
    return convert(np.array(result, np.float64).reshape(shape), common_dtype(x=x, weight=weight))


@CONV2D.rung("numpy", dtypes=tuple(dtype for dtype in SUPPORTED if dtype not in HALVES))
def conv2d_numpy(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Array:
    """Windows copied into a matrix, multiplied by NumPy."""
    return _as_product(x, weight, bias, stride, padding)


@tile_kernel(
    lambda T: (
        *(T[:, :, :, ::1], T[:, ::1], T[::1], types.int64, T[:, :, ::1], T[:, ::1]),
        *(types.int64, types.int64, types.int64, types.int64, types.int64),
        *(types.int64, types.int64, types.int64),
    )
)
def _conv2d(tile, thread, x, weight, bias, flags, out, memory, kh, kw, sy, sx, ow, sweep, edge, panel):
    """PIXELS output pixels of one image, all output channels."""
    outputs, pixels, inner, size = out.shape[1], out.shape[2], weight.shape[1], x.itemsize
    pixel_tiles = -(-pixels // PIXELS)
    image, c = x[tile // pixel_tiles], out[tile // pixel_tiles]
    p0 = (tile % pixel_tiles) * PIXELS
    p1 = min(p0 + PIXELS, pixels)
    width = p1 - p0
    if bias.size:
        for o in range(outputs):
            line, offset = c[o, p0:p1], bias[o]
            for j in range(width):
                line[j] = offset
    block = memory[thread, : min(DEPTH, inner) * width].reshape(min(DEPTH, inner), width)
    for k0 in range(0, max(inner, 1), DEPTH):
        k1 = min(k0 + DEPTH, inner)
        for k in range(k0, k1):
            channel, dy, dx = k // (kh * kw), (k // kw) % kh, k % kw
            target = block[k - k0]
            p = p0
            while p < p1:  # a run of pixels in one row of the output
                y, z = p // ow, p % ow
                count = min(ow - z, p1 - p)
                row = image[channel, y * sy + dy, z * sx + dx :]
                place = target[p - p0 : p - p0 + count]
                if sx == 1:
                    for j in range(count):
                        place[j] = row[j]
                else:
                    for j in range(count):
                        place[j] = row[j * sx]
                p += count
        told = (flags if k1 == inner else 0) | (ACCUMULATE if k0 > 0 or bias.size else 0)
        left, right = address(weight) + k0 * size, address(memory[thread])
        for j in range(0, width, panel):
            kernel = sweep if width - j >= panel else edge
            place = address(c) + (p0 + j) * size
            call_kernel(
                kernel,
                (
                    *(outputs, k1 - k0, width - j, left, inner * size, right + j * size, width * size, 0),
                    *(place, pixels * size, 0, told),
                ),
            )


@CONV2D.rung("vectorized")
def conv2d_vectorized(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Array:
    """Panels gathered in the cache and multiplied with SIMD; one thread."""
    return convolve(x, weight, bias, stride, padding, threads=1)


@CONV2D.rung("parallel")
def conv2d_parallel(x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair) -> Array:
    """The same, its tiles claimed by the pool's threads."""
    return convolve(x, weight, bias, stride, padding)


def convolve(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    activation: str | None = None,
    out: Any = None,
    threads: int | None = None,
) -> Array:
    """Return activation(conv2d(x, weight) + bias) of an image (C, H, W) or a batch of them."""
    images = x[None] if x.ndim == 3 else x
    shape = output_shape(images, weight, stride, padding)
    if bias is not None and bias.shape != shape[1:2]:
        raise ValueError(f"bias has shape {bias.shape}; weight {weight.shape} needs ({shape[1]},)")
    dtype = common_dtype(x=x, weight=weight, bias=bias)
    computed = compute_dtype(dtype)
    code = activation_code(activation, dtype)
    output = Output(out, shape[4 - x.ndim :], dtype, computed, (x, weight, bias))
    if output.buffer.size:
        pixels = shape[2] * shape[3]
        c = output.buffer.reshape(*shape[:2], pixels)
        matrix = contiguous(weight, computed).reshape(shape[1], math.prod(weight.shape[1:]))
        offsets = or_empty(bias, computed)
        tiles = shape[0] * -(-pixels // PIXELS)
        threads = threads_for(c.size * matrix.shape[1], SERIAL, tiles, threads)
        memory = scratch(threads, min(DEPTH, matrix.shape[1]) * min(PIXELS, pixels), computed)
        flags = (code if dtype in FLOATS else NONE) << ACTIVATION_SHIFT
        library = kernels(computed)
        _conv2d[computed](
            tiles,
            *(_padded(images, padding, computed), matrix, offsets, flags, c, memory),
            *(weight.shape[2], weight.shape[3], *stride, shape[3]),
            *(library["direct"], library["direct_edge"], tile(chosen(), computed)[1]),
            threads=threads,
        )
    return finish_integers(code, output.take())


CONV2D.counts(
    convolve,
    lambda x, weight, bias, stride, padding: (
        x[None] if x.ndim == 3 else x,
        weight,
        np.empty(0, x.dtype) if bias is None else bias,
        *(stride, padding),
    ),
    computed=lambda x, weight, *_: np.result_type(x, weight),
)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    activation: Any = None,
    out: Any = None,
) -> Any:
    """Return activation(conv2d(x, weight) + bias), NCHW: weight (O, C, kh, kw), bias (O,).

    Cross-correlation, as PyTorch's; x may be one image (C, H, W). `stride` and `padding` are integers or
    (vertical, horizontal) pairs. The
    result has shape (N, O, (H + 2p - kh) // s + 1, (W + 2p - kw) // s + 1) and is of the kind that was given,
    or `out` itself.

    Activations are those of `linear`.

    Raises ValueError naming the shapes that do not fit, for a stride or padding out of range, an unknown
    activation, or an `out` that does not fit or overlaps; TypeError for a dtype that kernels do not take.

    >>> import numpy as np
    >>> conv2d(np.ones((1, 1, 4, 4)), np.ones((2, 1, 3, 3)), padding=1).shape
    (1, 2, 4, 4)
    """
    arrays = read("x", x), read("weight", weight), None if bias is None else read("bias", bias)
    result = convolve(*arrays, pair("stride", stride, 1), pair("padding", padding, 0), activation, out)
    return like(result, x, weight, bias) if out is None else out
