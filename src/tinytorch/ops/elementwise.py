"""Operations that do little with each number they load: what bounds them is memory, so bytes are counted.

`relu` is the smallest kernel there is. `vectorized_operations` shows what fusing is worth: three arrays and
two sums from one pass over the inputs, where NumPy reads them five times and writes temporaries besides.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numpy import ndarray

from tinytorch.ops.launch import address
from tinytorch.ops.onepass import OnePass, add_pass, multiply_pass, relu_pass, stay_in_cache
from tinytorch.ops.registry import Operation, draw, rounding
from tinytorch.runtime.arrays import (
    FLOAT32,
    FLOAT64,
    FLOATS,
    HALVES,
    INTEGERS,
    Array,
    DType,
    common_dtype,
    compute_dtype,
    contiguous,
    convert,
    empty,
    like,
    read,
)
from tinytorch.runtime.compile import REASSOCIATE, tile_kernel
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.intrinsics import call_kernel
from tinytorch.runtime.output import Output
from tinytorch.runtime.threads import threads_for
from tinytorch.simd.build import library
from tinytorch.simd.elementwise import ALIGNMENT, STREAM, elementwise_kernels

#: Elements in a tile: 64 KB of float32; in and out stay in L2. 4 us of work against 0.1 us to claim it.
BLOCK = 16384
#: Elements below which one thread does it all: 128 K are about 30 us on one thread, and from there on two
#: threads win even when the second must first be woken.
SERIAL = 8 * BLOCK
_LARGE = 1 << 20  # elements of a result from which memory is asked for before it is taken
_UINT64 = np.dtype(np.uint64)
_DIMENSIONS = 4  # of arrays that `relu` takes as they are: a layer's or an image's
_STEP = 1024  # elements of five arrays that stay in L1 between two loops over them

#: Shapes for all operations: empty, 0-d, a vector's odd ends, one tile and one more, several tiles.
_SHAPES = (
    (),
    (0,),
    (1,),
    (7,),
    (3, 5),
    (2, 0, 3),
    (63,),
    (BLOCK,),
    (BLOCK + 1,),
    (3, 100, 431),
    (9 * BLOCK,),
)


def _map(kernel: OnePass, x: Array, y: Array, out: Any = None, threads: int | None = None) -> Array:
    """Return what a kernel makes of two arrays of one shape and float dtype, whatever their order."""
    computed = compute_dtype(x.dtype)
    output = Output(out, x.shape, x.dtype, computed, (x, y))
    p = contiguous(x, computed).reshape(-1)
    q = p if y is x else contiguous(y, computed).reshape(-1)
    done = kernel[computed, 1](p, q, output.buffer.reshape(-1), threads)
    assert done
    return output.take()


# ReLU

RELU = Operation(
    "relu",
    inputs=lambda rng, shape, dtype: (draw(rng, shape, dtype),),
    reference=lambda x: np.maximum(x, np.zeros((), x.dtype)) if x.dtype in INTEGERS else _relu_reference(x),
    bound=lambda x: np.zeros(()),
    cost=lambda x: Cost(x.size, x.nbytes, x.nbytes),
    shapes=_SHAPES,
    memory_bound=True,
)


def _relu_reference(x: Array) -> Array:
    exact = x.astype(np.float64)
    return np.where(exact <= 0, 0.0, exact)


@RELU.rung("python loops", slow=True)
def relu_loops(x: Array) -> Array:
    """A loop over Python numbers."""
    result = [0 if value <= 0 else value for value in x.reshape(-1).tolist()]
    return np.array(result, x.dtype).reshape(x.shape)


@RELU.rung("numpy")
def relu_numpy(x: Array) -> Array:
    """NumPy's maximum with zero."""
    return np.maximum(x, np.zeros((), x.dtype))


@tile_kernel(lambda T: (T[::1], T[::1]))
def _integer_relu(tile, thread, x, out):
    for i in range(tile * BLOCK, min((tile + 1) * BLOCK, x.size)):
        out[i] = max(x[i], 0)


@RELU.rung("vectorized")
def relu_vectorized(x: Array) -> Array:
    """SIMD, stored past the caches where the result would not stay there; one thread."""
    return relu_array(x, threads=1)


@RELU.rung("parallel")
def relu_parallel(x: Array) -> Array:
    """The same, its parts claimed by the pool's threads."""
    return relu_array(x)


def relu_array(x: Array, out: Any = None, threads: int | None = None) -> Array:
    """Return max(0, x) of any shape and order; threads only where they pay."""
    if out is None and not x.flags.c_contiguous and x.T.flags.c_contiguous:
        return relu_array(x.T, threads=threads).T  # column order in, column order out, as in NumPy
    if x.dtype in FLOATS:
        return _map(relu_pass, x, x, out, threads)
    output = Output(out, x.shape, x.dtype, x.dtype, (x,))
    if x.dtype.kind == "u":
        output.buffer[...] = x
    else:
        source, tiles = contiguous(x, x.dtype).reshape(-1), -(-x.size // BLOCK)
        threads = threads_for(x.size, SERIAL, tiles, threads)
        _integer_relu[x.dtype](tiles, source, output.buffer.reshape(-1), threads=threads)
    return output.take()


def relu(x: Any, out: Any = None) -> Any:
    """Return max(0, x), elementwise; NaN stays NaN.

    The result is of the kind that was given (ndarray, `Tensor`, torch tensor), or `out` itself. Raises
    TypeError for a dtype that kernels do not take, ValueError for an `out` that does not fit or overlaps.

    >>> import numpy as np
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    # A thousand numbers take 0.04 us, so the plainest arguments are seen to first; the rest in `relu_array`.
    if type(x) is ndarray and (out is None or type(out) is ndarray):
        dtype, dimensions = x.dtype, x.ndim
        if (dtype is FLOAT32 or dtype is FLOAT64) and 0 < dimensions <= _DIMENSIONS:
            target = None
            if out is None:
                if x.flags.c_contiguous:
                    target = np.empty(x.shape, dtype) if x.size < _LARGE else empty(x.shape, dtype)
            elif out.dtype is dtype and out.ndim == dimensions and out.flags.writeable:
                target = out
            if target is not None and relu_pass[dtype, dimensions](x, x, target):
                return target
    result = relu_array(read("x", x), out)
    return like(result, x) if out is None else out


for _function in (relu, relu_array):
    RELU.counts(_function, lambda x: (read("x", x),))


# Sum and product of two arrays


def _pairwise(name: str, function: Callable[..., Array], kernel: OnePass) -> Operation:
    """Declare an operation on pairs of floats of one shape."""

    def reference(x: Array, y: Array) -> Array:
        return function(x.astype(np.float64), y.astype(np.float64))

    operation = Operation(
        name,
        inputs=lambda rng, shape, dtype: (draw(rng, shape, dtype), draw(rng, shape, dtype)),
        reference=reference,
        bound=lambda x, y: rounding(np.abs(reference(x, y)), x.dtype),
        cost=lambda x, y: Cost(x.size, x.nbytes + y.nbytes, x.nbytes),
        shapes=_SHAPES,
        memory_bound=True,
    )

    @operation.rung("numpy", dtypes=FLOATS)
    def by_numpy(x: Array, y: Array) -> Array:
        """NumPy's."""
        return np.asarray(function(x, y))

    @operation.rung("vectorized", dtypes=FLOATS)
    def vectorized(x: Array, y: Array) -> Array:
        """SIMD, stored past the caches where the result would not stay there; one thread."""
        return _map(kernel, x, y, threads=1)

    @operation.rung("parallel", dtypes=FLOATS)
    def parallel(x: Array, y: Array) -> Array:
        """The same, its parts claimed by the pool's threads."""
        return _map(kernel, x, y)

    return operation


ADD = _pairwise("add", np.add, add_pass)
MULTIPLY = _pairwise("multiply", np.multiply, multiply_pass)


# Several results from one pass

KEYS = (
    "element_wise_multiply",
    "element_wise_add",
    "squared_difference",
    "euclidean_distance",
    "dot_product",
)


def _operations_reference(x: Array, y: Array) -> dict[str, Array]:
    dtype = np.result_type(x, y)
    exact = np.float64 if dtype in FLOATS else dtype
    p, q = x.astype(exact), y.astype(exact)
    with np.errstate(over="ignore", invalid="ignore"):
        exactly = exact if dtype in FLOATS else object  # Python's integers do not wrap around
        difference = np.asarray(np.asarray(x, exactly) - np.asarray(y, exactly), np.float64)
        return {
            KEYS[0]: p * q,
            KEYS[1]: p + q,
            KEYS[2]: (p - q) * (p - q),
            KEYS[3]: np.sqrt(np.sum(difference * difference)),
            KEYS[4]: np.sum(p * q, dtype=exact),
        }


def _operations_bound(x: Array, y: Array) -> dict[str, Array]:
    dtype = np.result_type(x, y)
    p, q = (np.nan_to_num(np.abs(v.astype(np.float64)), nan=0.0, posinf=0.0) for v in (x, y))
    distance = np.sqrt(np.sum((p + q) ** 2))
    # Sums are kept in float64: n eps of the sum of magnitudes; the distance halves it and rounds once more.
    steps = (x.size + 4) * np.finfo(np.float64).eps
    if dtype not in FLOATS:
        zero = np.zeros(())
        return {**dict.fromkeys(KEYS, zero), KEYS[3]: steps * _operations_reference(x, y)[KEYS[3]]}
    # Half types are computed in float32 first: its rounding of the difference is far below their own.
    return {
        KEYS[0]: rounding(p * q, dtype),
        KEYS[1]: rounding(p + q, dtype),
        KEYS[2]: 2 * rounding((p + q) ** 2, dtype),
        KEYS[3]: steps * distance + 2 * rounding(distance, dtype) + 1e-150,
        KEYS[4]: steps * np.sum(p * q) + rounding(np.sum(p * q), dtype),
    }


OPERATIONS = Operation(
    "vectorized_operations",
    inputs=lambda rng, shape, dtype: (draw(rng, shape, dtype), draw(rng, shape, dtype)),
    reference=_operations_reference,
    bound=_operations_bound,
    cost=lambda x, y: Cost(8 * x.size, x.nbytes + y.nbytes, 3 * x.size * np.result_type(x, y).itemsize),
    shapes=_SHAPES,
    memory_bound=True,
)


def _check_shapes(x: Array, y: Array) -> None:
    if x.shape != y.shape:
        raise ValueError(f"x and y must have one shape; x has {x.shape}, y has {y.shape}")


def _results(
    product: Array, total: Array, squares: Array, distance: Any, dot: Any, dtype: DType
) -> dict[str, Array]:
    scalars = (
        np.asarray(distance).astype(dtype if dtype in FLOATS else FLOAT64),
        np.asarray(dot).astype(dtype),
    )
    return dict(zip(KEYS, (product, total, squares, *scalars), strict=True))


@OPERATIONS.rung("python loops", slow=True, dtypes=FLOATS)
def operations_loops(x: Array, y: Array) -> dict[str, Array]:
    """One loop over pairs of Python numbers."""
    dtype = common_dtype(x=x, y=y)
    pairs = list(zip(x.reshape(-1).tolist(), y.reshape(-1).tolist(), strict=True))
    product, total, squares = (
        convert(np.array(values, np.float64).reshape(x.shape), dtype)
        for values in (
            [p * q for p, q in pairs],
            [p + q for p, q in pairs],
            [(p - q) * (p - q) for p, q in pairs],
        )
    )
    distance = math.sqrt(sum((p - q) * (p - q) for p, q in pairs))
    with np.errstate(over="ignore", invalid="ignore"):
        return _results(product, total, squares, distance, sum(p * q for p, q in pairs), dtype)


@OPERATIONS.rung("numpy", dtypes=tuple(dtype for dtype in FLOATS if dtype not in HALVES))
def operations_numpy(x: Array, y: Array) -> dict[str, Array]:
    """Five NumPy expressions, with their temporaries; sums in float64."""
    difference = x - y
    squares = difference * difference
    distance = np.sqrt(np.sum(squares, dtype=np.float64))
    product = x * y
    total, dot = x + y, np.sum(product, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return _results(product, total, squares, distance, dot, common_dtype(x=x, y=y))


@tile_kernel(
    lambda T: (
        *(types.int64, types.int64, T[::1], T[::1], T[::1], T[::1], T[::1]),
        *(types.float64[::1], types.float64[::1]),
    )
)
def _operations(tile, thread, plain, stream, x, y, product, total, squares, distances, dots):
    start = tile * BLOCK
    at = start * x.itemsize
    a, b, c = address(product) + at, address(total) + at, address(squares) + at
    call_kernel(
        stream if (a | b | c) % ALIGNMENT == 0 else plain,
        (
            *(min(BLOCK, x.size - start), address(x) + at, address(y) + at, a, b, c),
            *(address(distances) + 8 * tile, address(dots) + 8 * tile),
        ),
    )


@tile_kernel(
    lambda T: (T[::1], T[::1], T[::1], T[::1], T[::1], types.float64[::1], T[::1]), fastmath=REASSOCIATE
)
def _integer_operations(tile, thread, x, y, product, total, squares, distances, dots):
    distance, dot = 0.0, dots.dtype.type(0)
    end = min((tile + 1) * BLOCK, x.size)
    # Short loops over the same elements: LLVM gives up on SIMD for a loop that writes three arrays, as it
    # would have to prove too many pairs of arrays apart. It asks at run time whether they are, and otherwise
    # takes a loop that adds in another order; so the float sum is in a loop that writes none.
    for begin in range(tile * BLOCK, end, _STEP):
        stop = min(begin + _STEP, end)
        for i in range(begin, stop):
            p, q = x[i], y[i]
            product[i] = p * q
            total[i] = p + q
            dot += p * q
        for i in range(begin, stop):
            difference = x[i] - y[i]
            squares[i] = difference * difference
        for i in range(begin, stop):
            # |p - q| exactly: converted first, large ones would cancel to zero.
            exact = np.float64(np.uint64(max(x[i], y[i])) - np.uint64(min(x[i], y[i])))
            distance += exact * exact
    distances[tile] = distance
    dots[tile] = dot


@OPERATIONS.rung("vectorized")
def operations_vectorized(x: Array, y: Array) -> dict[str, Array]:
    """All five in one compiled pass, without temporaries; one thread."""
    return operations_arrays(x, y, threads=1)


@OPERATIONS.rung("parallel")
def operations_parallel(x: Array, y: Array) -> dict[str, Array]:
    """The same pass, its tiles claimed by the pool's threads."""
    return operations_arrays(x, y)


def operations_arrays(x: Array, y: Array, threads: int | None = None) -> dict[str, Array]:
    """Return multiply, add, squared difference, distance and dot product of two arrays of one shape.

    The sums are kept in float64 (integers: modulo 2**64), tile by tile and the tiles in order.
    """
    _check_shapes(x, y)
    dtype = x.dtype if x.dtype == y.dtype else common_dtype(x=x, y=y)
    # uint64 has a kernel of its own: the distance needs its values, not just its bits.
    computed = dtype if dtype == _UINT64 else compute_dtype(dtype)
    p, q = (contiguous(v, computed).reshape(-1) for v in (x, y))
    arrays = [empty(p.shape, computed) for _ in range(3)]
    tiles = -(-p.size // BLOCK)
    distances = empty((tiles,), FLOAT64)
    dots = empty((tiles,), FLOAT64 if dtype in FLOATS else computed)
    threads = threads_for(p.size, SERIAL, tiles, threads)
    if dtype in FLOATS:
        kernels = library(elementwise_kernels, computed)
        plain = kernels["operations"]
        stream = kernels["operations" + STREAM] if 5 * p.nbytes > stay_in_cache() else plain
        _operations[computed](tiles, plain, stream, p, q, *arrays, distances, dots, threads=threads)
    else:
        _integer_operations[computed](tiles, p, q, *arrays, distances, dots, threads=threads)
    product, total, squares = (convert(array.reshape(x.shape), dtype) for array in arrays)
    with np.errstate(over="ignore", invalid="ignore"):
        distance = math.sqrt(np.add.reduce(distances))
        return _results(product, total, squares, distance, np.add.reduce(dots), dtype)


OPERATIONS.counts(operations_arrays, lambda x, y: (x, y))
