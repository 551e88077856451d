"""Arrays placed with care: with any strides, between bytes that must stay or pages that must not be touched."""

import ctypes
import functools
import mmap
from typing import Any

import numpy as np

DType = np.dtype[Any]
Array = np.ndarray[Any, DType]

#: How an array lies: which axis is the fast one, numbers from one to the next along it, numbers left out
#: between two rows (columns where the first axis is the fast one), and the direction.
LAYOUTS = {
    "C": (False, 1, 0, 1),
    "transposed": (True, 1, 0, 1),
    "rows apart": (False, 1, 3, 1),
    "columns apart": (True, 1, 3, 1),
    "strided": (False, 2, 1, 1),
    "backwards": (False, 1, 0, -1),
    "transposed, backwards": (True, 1, 2, -1),
}
_PATTERN = 0xA5


def strides_of(shape: tuple[int, ...], size: int, layout: str) -> tuple[int, ...]:
    """Return the strides, in bytes, of an array that lies so."""
    first_is_fast, step, gap, sign = LAYOUTS[layout]
    strides = []
    for n in shape if first_is_fast else reversed(shape):
        strides.append(sign * step * size)
        step = step * max(n, 1) + gap
    return tuple(strides if first_is_fast else reversed(strides))


def extent(shape: tuple[int, ...], size: int, strides: tuple[int, ...]) -> tuple[int, int]:
    """Return how many bytes an array spans, and how many of them lie before its first number."""
    if 0 in shape:
        return 0, 0
    reach = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]
    return sum(map(abs, reach)) + size, -sum(r for r in reach if r < 0)


class Framed:
    """An array of this layout between bytes of a pattern, `odd` bytes off the alignment of its type."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, layout: str = "C", odd: int = 0) -> None:
        dtype = np.dtype(dtype)
        strides = strides_of(shape, dtype.itemsize, layout)
        span, before = extent(shape, dtype.itemsize, strides)
        self._bytes = np.full(64 + span + 64, _PATTERN, np.uint8)
        start = 64 + (odd - self._bytes.ctypes.data - 64) % dtype.itemsize
        self._where = start + before, strides
        self.array: Array = self._view(self._bytes, shape, dtype)

    def _view(self, memory: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        return np.ndarray(shape, dtype, memory, *self._where)

    def intact(self) -> bool:
        """Say whether nothing but the array itself has been written."""
        expected = np.full(self._bytes.shape, _PATTERN, np.uint8)
        self._view(expected, self.array.shape, self.array.dtype)[...] = self.array
        return bool(np.array_equal(expected, self._bytes))


class Pages:
    """Memory between two pages that end the process if they are read or written."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = -(-size // page) * page
        self._map = mmap.mmap(-1, self._size + 2 * page)
        whole = np.frombuffer(self._map, np.uint8)
        self._bytes = whole[page : page + self._size]
        for guard in (whole[:page], whole[page + self._size :]):
            _protect(guard, 0)

    def place(self, values: Array, layout: str = "C", at_end: bool = True, writeable: bool = False) -> Array:
        """Return an array of these values that ends at the one page, or begins after the other.

        One that is not writeable is so for every instruction, not only for NumPy. It is valid until the next.
        """
        strides = strides_of(values.shape, values.itemsize, layout)
        span, before = extent(values.shape, values.itemsize, strides)
        start = self._size - span if at_end else 0
        assert start >= 0
        _protect(self._bytes, mmap.PROT_READ | mmap.PROT_WRITE)
        array: Array = np.ndarray(values.shape, values.dtype, self._bytes, start + before, strides)
        array[...] = values
        if not writeable:
            _protect(self._bytes, mmap.PROT_READ)
        return array

    def tail(self, size: int) -> Array:
        """Return the last bytes before the page."""
        return self._bytes[self._size - size :]


@functools.cache
def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _protect(memory: Array, access: int) -> None:
    if _system().mprotect(ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(memory.nbytes), access):
        raise OSError(ctypes.get_errno(), "mprotect")
