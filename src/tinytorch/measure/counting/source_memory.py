"""Marks which bytes a kernel's source loaded and stored, so that each counts once, and which cache lines."""

from typing import Any

import numpy as np

from tinytorch.measure.counting.memory import Block, distinct_bytes
from tinytorch.measure.counting.source_trace import Trace

#: Bytes of a cache line.
LINE = 64


class Memory:
    """Bytes from one address to another, and which of them were loaded and stored.

    `plain` says whether no element shares some of its bytes, but not all, with another.
    """

    def __init__(self, trace: Trace, low: int, high: int, plain: bool = True) -> None:
        self.low, self.high, self.plain = low - low % LINE, high, plain
        size = high - self.low
        # Pages of zeros that are never touched take no memory.
        self._loaded, self._stored = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        self._loads, self._stores = self._loaded.data, self._stored.data
        self._lines = np.zeros(-(-size // LINE), np.uint8)
        self._trace, self._touched = trace, 0

    def __del__(self) -> None:
        """Give the lines back: what is allocated next may take them."""
        self._trace.touch(-self._touched)

    def holds(self, block: Block) -> bool:
        """Whether a block lies here."""
        low, high = block.bounds
        return self.low <= low and high <= self.high and low < high

    def load(self, offset: int, size: int) -> int:
        """Mark an element as loaded; return how many of its bytes were not before."""
        return 0 if self.plain and self._loads[offset] else self._first(self._loads, offset, size)

    def store(self, offset: int, size: int) -> int:
        """Mark an element as stored; return how many of its bytes were not before."""
        return 0 if self.plain and self._stores[offset] else self._first(self._stores, offset, size)

    def load_all(self, block: Block) -> int:
        """Mark the elements of a block as loaded; return how many of their bytes were not before."""
        return self._new(self._loaded, block)

    def store_all(self, block: Block) -> int:
        """Mark the elements of a block as stored; return how many of their bytes were not before."""
        return self._new(self._stored, block)

    def _first(self, marks: memoryview, offset: int, size: int) -> int:
        new = bytes(marks[offset : offset + size]).count(0)
        marks[offset : offset + size] = b"\1" * size
        for line in range(offset // LINE, (offset + size - 1) // LINE + 1):
            if not self._lines[line]:
                self._touch(slice(line, line + 1), 1)
        return new

    def _new(self, marks: np.ndarray, block: Block) -> int:
        if 0 in block.shape:
            return 0
        offset = block.address - self.low
        places: np.ndarray = np.ndarray(
            (*block.shape, block.itemsize), np.uint8, marks, offset, (*block.strides, 1)
        )
        low, high = (bound - self.low for bound in block.bounds)
        distinct = distinct_bytes(block.shape, block.strides, block.itemsize)
        # Where elements share bytes, what is between the first and the last is looked through.
        seen = places if distinct == places.size else marks[low:high]
        before = np.count_nonzero(seen)
        places[...] = 1
        lines: Any = slice(low // LINE, (high - 1) // LINE + 1)
        if distinct < high - low:  # there are gaps
            first = offset + sum(
                np.ogrid[tuple(slice(n) for n in block.shape)][i] * s for i, s in enumerate(block.strides)
            )
            lines = np.unique(
                np.concatenate([np.ravel(first) // LINE, np.ravel(first + block.itemsize - 1) // LINE])
            )
        self._touch(lines, int(np.count_nonzero(self._lines[lines] == 0)))
        return int(np.count_nonzero(seen) - before)

    def _touch(self, lines: Any, new: int) -> None:
        self._lines[lines] = 1
        self._touched += new
        self._trace.touch(new)
