"""The record of one run of a kernel's source: its steps, loads, stores and operations, and why it ended.

The numbers (source_numbers.py) and arrays (source_arrays.py) that the source runs on write it.
"""

from typing import NoReturn

from tinytorch.measure.counting.count import DType, Tally

#: From this depth on a load waits for others in a row; a gather `x[index[i]]` is 2 deep.
_CHAINED = 3


# Neither is an Exception: the source's own handlers are to let them pass.
class LimitError(BaseException):
    """The source did as much as may be followed."""


class UnsupportedError(BaseException):
    """The source does what cannot be followed in plain Python."""


class Trace(Tally):
    """What one run of a source did, in up to `limit` steps."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.loads = self.stores = self.dependent_loads = self.chain = 0
        self.lines = 0  # the most that were touched in arrays that were there at once
        #: Why the run ended before the source did. A bare `except` in the source may have hidden it.
        self.ended: LimitError | UnsupportedError | None = None
        self._lines = 0
        self._left = limit

    def add(
        self, name: str, dtype: DType | None, operations: int = 0, read: int = 0, written: int = 0
    ) -> None:
        """Note one call of an operation, without a lock: a run is in one thread, and this is called often."""
        key = name, dtype
        sums = self._entries.get(key)
        if sums is None:
            sums = self._entries[key] = [0, 0, 0, 0]
        sums[0] += 1
        sums[1] += operations
        sums[2] += read
        sums[3] += written

    def load(self, dtype: DType, depth: int, elements: int, read: int) -> None:
        """Note that elements are loaded, `depth` loads in a row, and how many of their bytes are new."""
        self.loads += elements
        self.chain = max(self.chain, depth)
        if depth >= _CHAINED:
            self.dependent_loads += elements
        self.add("load", dtype, read=read)

    def store(self, dtype: DType, elements: int, written: int) -> None:
        """Note that elements are stored, and how many of their bytes are new."""
        self.stores += elements
        self.add("store", dtype, written=written)

    def touch(self, lines: int) -> None:
        """Note that more cache lines are touched, or, where it is negative, that some are gone."""
        self._lines += lines
        self.lines = max(self.lines, self._lines)

    def step(self) -> None:
        """Take one of the steps that are left."""
        self._left -= 1
        if self._left < 0:
            self.ended = self.ended or LimitError()
            raise self.ended

    def expire(self) -> None:
        """Leave no more steps."""
        self.ended, self._left = self.ended or LimitError(), 0

    def refuse(self, what: str) -> NoReturn:
        """End the run because of something that cannot be followed."""
        self.ended = self.ended or UnsupportedError(what)
        raise self.ended
