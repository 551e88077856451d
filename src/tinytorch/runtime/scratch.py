"""Memory that kernels pack into: kept from call to call, so that its pages are there already.

A fresh panel of 256 KB costs 64 page faults, more than the work of a small tile; and malloc may give a
worker's memory back to the system every time. Each Python thread that calls kernels has its own, which grows
to the largest that was asked for; it is in one kernel at a time.
"""

import threading

import numpy as np

from tinytorch.runtime.arrays import Array, DType, empty

_local = threading.local()
_BYTE = np.dtype(np.uint8)
_LINE = 64  # bytes that CPUs own together: two threads writing to one line take turns


def scratch(threads: int, elements: int, dtype: DType) -> Array:
    """Return memory of shape (threads, at least `elements`), holding anything, each row on lines of its own.

    It is valid until this Python thread asks again.
    """
    row = -(-elements * dtype.itemsize // _LINE) * _LINE
    needed = threads * row
    memory: Array | None = getattr(_local, "memory", None)
    if memory is None or memory.size < needed:
        raw = empty((needed + _LINE,), _BYTE)
        memory = _local.memory = raw[-raw.ctypes.data % _LINE :]
    return memory[:needed].view(dtype).reshape(threads, row // dtype.itemsize)
