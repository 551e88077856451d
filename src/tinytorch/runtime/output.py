"""Where a result goes: into the user's `out`, with NumPy's meaning, or into a new array."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.runtime.arrays import Array, DType, convert, empty, kinds, to_numpy
from tinytorch.runtime.scratch import temporary


class Output:
    """Where a result goes: into `out` with NumPy's meaning, or into a new array.

    `buffer`, contiguous and of dtype `computed`, is what the kernel writes: the user's own memory where that
    is of such a layout. With `rows`, so is a matrix whose rows are contiguous and lie apart. `take` brings
    the result to where it belongs.

    Raises TypeError if `out` is no array, ValueError if its shape or dtype is wrong, it is read-only, or
    it overlaps an input.
    """

    def __init__(
        self,
        out: Any,
        shape: tuple[int, ...],
        dtype: DType,
        computed: DType,
        inputs: Sequence[Array | None],
        rows: bool = False,
    ) -> None:
        self._dtype = dtype
        self._target = None if out is None else _writable_target(out, shape, dtype, inputs)
        if self._target is not None and computed == dtype:
            flags = self._target.flags
            if flags.aligned and (flags.c_contiguous or (rows and _rows_apart(self._target))):
                self.buffer = self._target
                return
        if computed == dtype:
            self.buffer = empty(shape, computed)
        else:
            self.buffer = temporary("result", shape, computed)

    def take(self) -> Array:
        """Return the result, converted, in `out` if there is one."""
        if self._target is None:
            return convert(self.buffer, self._dtype)
        if self._target is not self.buffer:
            self._target[...] = convert(self.buffer, self._dtype)
        return self._target


def _rows_apart(matrix: Array) -> bool:
    """Say whether each row is contiguous, and none lies across another."""
    row, column = matrix.strides
    return column == matrix.itemsize and abs(row) >= matrix.shape[1] * column


def _writable_target(out: Any, shape: tuple[int, ...], dtype: DType, inputs: Sequence[Array | None]) -> Array:
    if not isinstance(out, kinds()):
        raise TypeError(f"out must be an array to write to, not {type(out).__name__}")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, torch.Tensor) and (out.is_neg() or out.is_conj()):
        raise ValueError("out is a lazily negated view: pass a tensor that holds its own values")
    target = to_numpy("out", out)
    if target.shape != shape:
        raise ValueError(f"out has shape {target.shape}; the result has shape {shape}")
    if target.dtype != dtype:
        raise ValueError(f"out has dtype {target.dtype}; the result has dtype {dtype}")
    if not target.flags.writeable:
        raise ValueError("out is read-only")
    if any(array is not None and _overlap(target, array) for array in inputs):
        raise ValueError("out overlaps an input; kernels write while they read: pass another array")
    return target


def _overlap(a: Array, b: Array) -> bool:
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]  # NumPy's stub knows 0 and -1 alone
    except np.exceptions.TooHardError:
        return True
