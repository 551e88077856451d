"""Which array an address in global memory belongs to, by the names of a launch's arguments.

Where arrays lie in each other (a view beside what it is a view of, one array given twice) an address belongs
to all of them: "x, out".
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.launch import Allocation

Array = np.ndarray[Any, Any]


class Names:
    """The arrays of a launch by their offsets in global memory."""

    def __init__(self, allocations: Sequence[Allocation]) -> None:
        self._allocations = [one for one in allocations if one.size]
        edges = sorted({edge for one in self._allocations for edge in (one.start, one.start + one.size)})
        covered = [
            (low, high, ", ".join(names))
            for low, high in pairwise(edges)
            if (names := [a.name for a in self._allocations if a.start <= low and high <= a.start + a.size])
        ]
        self._starts = np.array([low for low, _, _ in covered], np.int64)
        self._ends = np.array([high for _, high, _ in covered], np.int64)
        self._names = [name for _, _, name in covered]

    def count(self, offsets: Array) -> Iterator[tuple[str, int]]:
        """Yield the names that offsets belong to, and how many each; those of no array are left out.

        >>> names = Names([Allocation("x", 512, 64), Allocation("y", 1024, 32)])
        >>> list(names.count(np.array([512, 1030, 575, 5])))
        [('x', 2), ('y', 1)]
        """
        if not len(self._starts) or not len(offsets):
            return
        first = int(np.searchsorted(self._starts, offsets.min(), "right")) - 1
        if first >= 0 and offsets.max() < self._ends[first]:  # as a rule
            yield self._names[first], len(offsets)
            return
        places = np.searchsorted(self._starts, offsets, "right") - 1
        places = places[(places >= 0) & (offsets < self._ends[places])]
        for place, number in zip(*np.unique(places, return_counts=True), strict=True):
            yield self._names[place], int(number)

    def near(self, offset: int) -> str:
        """Say where an offset lies in the array that is nearest to it.

        >>> Names([Allocation("x", 512, 64)]).near(580)
        'byte 68 of x, which has 64'
        """
        if not self._allocations:
            return "the launch has no array"

        def distance(one: Allocation) -> int:
            return max(one.start - offset, offset - (one.start + one.size) + 1, 0)

        nearest = min(self._allocations, key=distance)
        return f"byte {offset - nearest.start} of {nearest.name}, which has {nearest.size}"
