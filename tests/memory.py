"""Arrays placed with care: any strides, between bytes that must stay or pages that must not be touched."""

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
_PATTERN, _FRAME = 0xA5, 128


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


def _laid(memory: Array, start: int, shape: tuple[int, ...], dtype: DType, layout: str) -> Array:
    """Return the array that lies so in this memory, all around it a pattern."""
    strides = strides_of(shape, dtype.itemsize, layout)
    _, before = extent(shape, dtype.itemsize, strides)
    memory[...] = _PATTERN
    return np.ndarray(shape, dtype, memory, start + before, strides)


def _unwritten(memory: Array, start: int, array: Array, layout: str) -> bool:
    """Say whether the pattern around an array is what it was."""
    expected = np.empty_like(memory)
    _laid(expected, start, array.shape, array.dtype, layout)[...] = array
    return bool(np.array_equal(expected, memory))


class Framed:
    """An array of this layout between bytes of a pattern, `odd` bytes off the alignment of its type."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, layout: str = "C", odd: int = 0) -> None:
        dtype = np.dtype(dtype)
        span, _ = extent(shape, dtype.itemsize, strides_of(shape, dtype.itemsize, layout))
        self._memory = np.empty(_FRAME + span + _FRAME, np.uint8)
        self._start = _FRAME // 2 + (odd - self._memory.ctypes.data - _FRAME // 2) % dtype.itemsize
        self._layout = layout
        self.array: Array = _laid(self._memory, self._start, shape, dtype, layout)

    def intact(self) -> bool:
        """Say whether nothing but the array itself has been written."""
        return _unwritten(self._memory, self._start, self.array, self._layout)


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
        self._placed: tuple[Array, int, Array, str] | None = None

    def place(self, values: Array, layout: str = "C", at_end: bool = True, writeable: bool = False) -> Array:
        """Return an array of these values that ends at the one page, or begins after the other.

        One that is not writeable is so for every instruction, not only for NumPy. It is valid until the next.
        """
        span, _ = extent(values.shape, values.itemsize, strides_of(values.shape, values.itemsize, layout))
        memory = self.tail(span + _FRAME) if at_end else self._bytes[: span + _FRAME]
        assert len(memory) == span + _FRAME
        _protect(self._bytes, mmap.PROT_READ | mmap.PROT_WRITE)
        start = _FRAME if at_end else 0
        array = _laid(memory, start, values.shape, values.dtype, layout)
        array[...] = values
        self._placed = memory, start, array, layout
        if not writeable:
            _protect(self._bytes, mmap.PROT_READ)
        return array

    def intact(self) -> bool:
        """Say whether nothing but the array that was placed last has been written."""
        return self._placed is None or _unwritten(*self._placed)

    def tail(self, size: int) -> Array:
        """Return the last bytes before the page."""
        return self._bytes[self._size - size :]


@functools.cache
def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _protect(memory: Array, access: int) -> None:
    if _system().mprotect(ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(memory.nbytes), access):
        raise OSError(ctypes.get_errno(), "mprotect")
