"""What one call was found to do, and the sheet on which the finding is kept while the call runs."""

import threading
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from tinytorch.runtime.cost import Cost

DType: TypeAlias = np.dtype[Any]
By: TypeAlias = Literal[
    "stated",
    "declared",
    "hardware counters",
    "NumPy operations",
    "torch operations",
    "numba source",
    "bytes in and out",
]


@dataclass(frozen=True)
class Entry:
    """What all calls of one operation in one dtype came to; bytes read and written."""

    name: str
    dtype: DType | None
    calls: int
    operations: int
    read: int
    written: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "name": self.name,
            "dtype": None if self.dtype is None else str(self.dtype),
            "calls": self.calls,
            "operations": self.operations,
            "read_bytes": self.read,
            "written_bytes": self.written,
        }


@dataclass(frozen=True)
class Count:
    """What one call does: operations (a multiply-add is two), bytes read and written, and how that is known.

    `dtype` is the one that most operations were in, `uncounted` names what ran without its operations being
    counted, `note` says what a reader should know of the numbers.
    """

    operations: int
    read: int
    written: int
    dtype: DType | None
    by: By
    details: tuple[Entry, ...] = ()
    uncounted: tuple[str, ...] = ()
    note: str = ""

    @property
    def cost(self) -> Cost:
        """The same as a cost, to be placed on a roofline.

        >>> Count(2, 16, 8, None, "stated").cost.bytes
        24
        """
        return Cost(self.operations, self.read, self.written)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "operations": self.operations,
            "read_bytes": self.read,
            "written_bytes": self.written,
            "dtype": None if self.dtype is None else str(self.dtype),
            "by": self.by,
            "details": [entry.as_dict() for entry in self.details],
            "uncounted": list(self.uncounted),
            "note": self.note,
        }


class Tally:
    """Adds up what the operations of one run do; threads of the run may share it.

    >>> tally = Tally()
    >>> tally.add("add", np.dtype("f4"), operations=10, read=80, written=40)
    >>> tally.count("NumPy operations").operations
    10
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, DType | None], list[int]] = {}
        self._uncounted: dict[str, None] = {}

    def add(
        self, name: str, dtype: DType | None, operations: int = 0, read: int = 0, written: int = 0
    ) -> None:
        """Note one call of an operation."""
        with self._lock:
            sums = self._entries.setdefault((name, dtype), [0, 0, 0, 0])
            for i, value in enumerate((1, operations, read, written)):
                sums[i] += value

    def leave_out(self, name: str) -> None:
        """Note that an operation of this name ran and its operations are not known."""
        with self._lock:
            self._uncounted[name] = None

    @property
    def calls(self) -> int:
        """Number of operations noted."""
        with self._lock:
            return sum(sums[0] for sums in self._entries.values())

    @property
    def empty(self) -> bool:
        """Whether no operation did anything: none was seen, or views were all there was."""
        with self._lock:
            return not any(any(sums[1:]) for sums in self._entries.values())

    def count(self, by: By, note: str = "") -> Count:
        """Return the sums, and the operations with those that do most first."""
        with self._lock:
            entries = [Entry(*key, *sums) for key, sums in self._entries.items()]
            uncounted = tuple(self._uncounted)
        entries.sort(key=lambda e: (e.operations, e.read + e.written, e.calls), reverse=True)
        return Count(
            operations=sum(entry.operations for entry in entries),
            read=sum(entry.read for entry in entries),
            written=sum(entry.written for entry in entries),
            dtype=main_dtype(entries),
            by=by,
            details=tuple(entries),
            uncounted=uncounted,
            note=note,
        )


def main_dtype(entries: list[Entry]) -> DType | None:
    """Return the dtype that most operations were in, or, where there are none, most bytes."""
    weights: dict[DType, list[int]] = {}
    for entry in entries:
        if entry.dtype is not None:
            sums = weights.setdefault(entry.dtype, [0, 0])
            sums[0] += entry.operations
            sums[1] += entry.read + entry.written
    return max(weights, key=lambda dtype: weights[dtype], default=None)
