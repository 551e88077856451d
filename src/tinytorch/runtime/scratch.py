"""Memory that kernels pack into: kept from call to call, so that its pages are there already.

A fresh panel of 256 KB costs 64 page faults, more than the work of a small tile; and malloc may give a
worker's memory back to the system every time. Each Python thread that calls kernels has its own, which grows
to the largest that was asked for; it is in one kernel at a time.
"""

import math
import threading
from collections.abc import Sequence

import numpy as np

from tinytorch.runtime.arrays import LINE, Array, DType, aligned, empty

_BYTE = np.dtype(np.uint8)
#: From this many bytes on, memory begins at a huge page, and so much is asked for that NumPy tells Linux to
#: use them (4 MB): a block of B is written a line here, a line there, in more places than the CPU keeps
#: translations of small pages for.
_PACKED = 256 << 10
_HUGE = 2 << 20


class _Memory(threading.local):
    bytes: Array = np.empty(0, _BYTE)
    size = 0
    address = 0


_memory = _Memory()


def scratch_address(size: int) -> int:
    """Return the address of `size` bytes of scratch memory, at the beginning of a cache line.

    It is valid until this Python thread asks again.
    """
    if size > _memory.size:
        raw = empty((size + LINE,), _BYTE) if size < _PACKED else empty((2 * _HUGE + size,), _BYTE)
        _memory.bytes = raw[-raw.ctypes.data % (LINE if size < _PACKED else _HUGE) :]
        _memory.address = _memory.bytes.ctypes.data
        _memory.size = size
    return _memory.address


def scratch(threads: int, elements: int, dtype: DType) -> Array:
    """Return scratch memory as an array (threads, at least `elements`), each row on lines of its own."""
    row = -(-elements * dtype.itemsize // LINE) * LINE
    scratch_address(threads * row)
    return _memory.bytes[: threads * row].view(dtype).reshape(threads, row // dtype.itemsize)


#: Bytes of a temporary array up to which its memory is kept for the next one.
_KEPT = 32 << 20


class _Temporaries(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}


_temporaries = _Temporaries()


def temporary(name: str, shape: Sequence[int], dtype: DType) -> Array:
    """Return an array that is gone when this Python thread asks for one of this name again.

    For operands and results in a wider dtype than the user's: fresh memory costs more page faults than the
    conversion takes (a bfloat16 product of 1024^3 was a seventh slower).
    """
    size = math.prod(shape) * dtype.itemsize
    if size > _KEPT:
        return empty(shape, dtype)
    memory = _temporaries.arrays.get(name)
    if memory is None or memory.size < size:
        memory = _temporaries.arrays[name] = aligned((size,), _BYTE)
    return memory[:size].view(dtype).reshape(shape)


def widened(name: str, array: Array, dtype: DType) -> Array:
    """Return an array in another dtype, as a `temporary` unless it is of that dtype already."""
    if array.dtype == dtype:
        return array
    result = temporary(name, array.shape, dtype)
    result[...] = array
    return result
