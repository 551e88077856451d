"""From arrays to the engine: shapes checked, operands brought to one dtype, a plan looked up, launched.

What a plan can absorb (transposed, strided, negative strides) is handed over as it is. Operands are copied
only to convert their dtype, where a stack of matrices has no single stride, and where they are not aligned
or lie across the result.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.ops.plan import Prepared, in_pairs, prepare, prepare_packed
from tinytorch.runtime import pool
from tinytorch.runtime.arrays import (
    FLOAT32,
    FLOATS,
    HALVES,
    Array,
    DType,
    bits,
    common_dtype,
    compute_dtype,
    contiguous,
    empty,
    or_empty,
)
from tinytorch.runtime.output import Output
from tinytorch.runtime.scratch import scratch_address, widened
from tinytorch.runtime.threads import get_num_threads
from tinytorch.simd.activation import NONE, RELU
from tinytorch.simd.product import ACTIVATION_SHIFT


def result_shape(a: Array, b: Array) -> tuple[int, ...]:
    """Return the shape of `a @ b` by numpy.matmul's rules; ValueError naming both shapes if there is none."""
    shapes = f"{a.shape} and {b.shape}"
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"a product needs at least one dimension on each side; the shapes are {shapes}")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise ValueError(f"inner dimensions differ: the shapes are {shapes} ({a.shape[-1]} against {inner})")
    if a.ndim == b.ndim == 2:
        return a.shape[0], b.shape[1]
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"batch dimensions do not broadcast: the shapes are {shapes}") from None
    return batch + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ())


#: The index of a stack of one.
ONLY = np.zeros(1, np.int64)


@dataclass
class Stacks:
    """A product brought to one form: contiguous stacks, and which matrices each product of the batch uses."""

    a: Array  # (batch of a, M, K)
    b: Array  # (batch of b, K, N)
    a_index: Array  # (batch,) int64
    b_index: Array
    shape: tuple[int, ...]  # of the result, as numpy.matmul has it
    dtype: DType  # of the result

    @property
    def matrices(self) -> tuple[int, int, int]:
        """The result as a stack (batch, M, N)."""
        return len(self.a_index), self.a.shape[1], self.b.shape[2]


def stacks(a: Array, b: Array, computed: DType | None = None) -> Stacks:
    """Bring a product to one form, its operands in `computed`, by default the dtype that the result needs.

    Raises ValueError for shapes as `numpy.matmul` does, TypeError for dtypes.
    """
    shape, dtype = result_shape(a, b), common_dtype(a=a, b=b)
    computed = compute_dtype(dtype) if computed is None else computed
    left, right = _folded(contiguous(a, computed), contiguous(b, computed))
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    a_index, b_index = (_which(x.shape[:-2], batch) for x in (left, right))
    return Stacks(_stack(left), _stack(right), a_index, b_index, shape, dtype)


def _folded(a: Array, b: Array) -> tuple[Array, Array]:
    """Return two matrices or stacks of them; with one B for a whole stack, the stack is more rows."""
    left = a if a.ndim > 1 else a[None, :]
    right = b if b.ndim > 1 else b[:, None]
    if right.ndim == 2 and left.ndim > 2:
        left = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])
    return left, right


def product(
    a: Array,
    b: Array,
    bias: Array | None = None,
    activation: int = NONE,
    out: Any = None,
    threads: int | None = None,
) -> Array:
    """Return activation(a @ b + bias), `bias` of shape (N,); by default on as many threads as it pays for.

    Raises ValueError for shapes as `numpy.matmul` does and an `out` that does not fit, TypeError for dtypes.
    """
    shape, dtype = result_shape(a, b), common_dtype(a=a, b=b)
    computed = compute_dtype(dtype)
    output = Output(out, shape, dtype, computed, (a, b, bias), rows=a.ndim == b.ndim == 2)
    left, right = _folded(a, b)
    # A half type on the right is widened as it is loaded: no copy, and half the bytes to move.
    narrow = b.dtype if computed == FLOAT32 and b.dtype in HALVES else None
    right = bits(right) if narrow else widened("right", right, computed)
    paired = in_pairs(computed, a.dtype, b.dtype, left.shape[-2])
    left = bits(left) if paired else widened("left", left, computed)
    offsets = or_empty(bias, computed)
    # An integer is no number until it is cut to its own type.
    fused = activation if dtype in FLOATS else NONE
    if left.ndim == right.ndim == 2:
        c = output.buffer.reshape(left.shape[0], right.shape[1])
        multiply(left, right, offsets, fused, c, threads, narrow)
    else:
        c = _stack(
            output.buffer.reshape(*shape[: max(left.ndim, right.ndim) - 2], left.shape[-2], right.shape[-1])
        )
        multiply_stacks(left, right, c, threads, narrow)
    return finish_integers(activation, output.take())


def finish_integers(activation: int, result: Array) -> Array:
    """Apply ReLU to an integer result in place, if that is what `activation` says: it was left to do."""
    if activation == RELU and result.dtype.kind == "i":
        np.maximum(result, 0, out=result)
    return result


def multiply(
    a: Array,
    b: Array,
    bias: Array,
    activation: int,
    c: Array,
    threads: int | None = None,
    narrow: DType | None = None,
) -> None:
    """Write activation(a @ b + bias) to `c`: 2-D arrays of any strides; `bias` may be empty.

    All are of one dtype, or `b` holds the bits of a half type, `narrow`, and so may `a` (`in_pairs`).
    """
    if c.size == 0:
        return
    prepared = prepare(
        *(c.dtype, (a.shape[0], a.shape[1]), c.shape[1], a.strides, b.strides, c.strides, _allowed(threads)),
        **_narrow(a, c, narrow),
    )
    if not run(prepared, a, b, c, bias, activation):
        fresh = empty(c.shape, c.dtype)
        multiply(_anew(a), _anew(b), _anew(bias), activation, fresh, threads, narrow)
        c[...] = fresh


def multiply_packed(
    a: Array, panels: Array, bias: Array, activation: int, c: Array, narrow: DType | None = None
) -> None:
    """Write activation(a @ weight + bias) to `c`, with the weight packed by `ops.packed`.

    `a` is contiguous, and so are the rows of `c`.
    """
    if c.size == 0:
        return
    matrix, threads, dtypes = (a.shape[0], a.shape[1]), get_num_threads(), _narrow(a, c, narrow)
    if c.flags.c_contiguous:
        prepared = prepare_packed(c.dtype, matrix, c.shape[1], threads, **dtypes)
    else:
        prepared = prepare(c.dtype, matrix, c.shape[1], a.strides, None, c.strides, threads, **dtypes)
    if not run(prepared, a, panels, c, bias, activation):
        fresh = empty(c.shape, c.dtype)
        multiply_packed(_anew(a), _anew(panels), _anew(bias), activation, fresh, narrow)
        c[...] = fresh


def _allowed(threads: int | None) -> int:
    return get_num_threads() if threads is None else threads


def _narrow(a: Array, c: Array, narrow: DType | None) -> dict[str, DType | None]:
    """Return what `prepare` is told of operands that hold the bits of a half type."""
    return {"right": narrow, "left": None if a.dtype == c.dtype else narrow}


def _anew(array: Array) -> Array:
    """Return a copy that suits every kernel: aligned, contiguous, apart from all else."""
    return np.array(array, order="C")


def _words(prepared: Prepared, activation: int = NONE) -> tuple[int, ...]:
    """Return the integers that every launch begins with, with threads and memory made ready."""
    workers = pool.current()
    if prepared.threads > 1:
        workers.ready(prepared.threads)
    memory = scratch_address(prepared.scratch) if prepared.scratch else 0
    return workers.address, prepared.tile, prepared.address, memory, activation << ACTIVATION_SHIFT


def run(
    prepared: Prepared, a: Array, b: Array, c: Array, bias: Array | None = None, activation: int = NONE
) -> bool:
    """Run a plan on matrices; False, with nothing done, if one is not aligned or lies across the result."""
    words = _words(prepared, activation)
    if bias is not None and bias.size:
        return prepared.launcher.biased(*words, a, b, c, bias)
    return prepared.launcher.matrices(*words, a, b, c)


def multiply_stacks(
    a: Array, b: Array, c: Array, threads: int | None = None, narrow: DType | None = None
) -> None:
    """Write a @ b to `c` (batch, M, N), `a` and `b` stacks that broadcast."""
    if c.size == 0:
        return
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left, right = _stack(a), _stack(b)
    strides = [(*x.strides[1:], x.strides[0]) for x in (left, right, c)]
    matrix = (left.shape[1], left.shape[2])
    prepared = prepare(
        c.dtype, matrix, c.shape[2], *strides, _allowed(threads), len(c), **_narrow(left, c, narrow)
    )
    indices = _which(a.shape[:-2], batch), _which(b.shape[:-2], batch)
    if not prepared.launcher.stacks(*_words(prepared), left, right, c, *indices):
        fresh = empty(c.shape, c.dtype)
        multiply_stacks(_anew(a), _anew(b), fresh, threads, narrow)
        c[...] = fresh


def _stack(matrices: Array) -> Array:
    shape = matrices.shape
    return matrices.reshape((math.prod(shape[:-2]), *shape[-2:]))


def _which(own: tuple[int, ...], batch: tuple[int, ...]) -> Array:
    """Number an operand's matrices, repeated over the batch as broadcasting repeats them."""
    return np.broadcast_to(np.arange(math.prod(own)).reshape(own), batch).reshape(-1).copy()
