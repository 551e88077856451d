"""Where an axis begins and ends, and ticks a reader can count on: powers, or 1-2-5 within one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Axis:
    """Bounds of an axis, its kind, and its ticks."""

    kind: Literal["log", "linear"]
    low: float
    high: float
    ticks: tuple[float, ...] | None  # None: whatever the plotting library finds

    def place(self, value: float) -> float:
        """Return where a value lies: 0 at the beginning of the axis, 1 at its end.

        >>> decades([1, 10000]).place(100), Axis("linear", 0, 4, None).place(1)
        (0.5, 0.25)
        """
        if self.kind == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def decades(values: Sequence[float], margin: float = 1.0) -> Axis:
    """Make a logarithmic axis with ticks at powers of ten, or at 1, 2 and 5 where few powers lie within.

    `margin` is a factor of room at either end. At most seven powers, so that they fit a narrow figure.

    >>> decades([2, 5000]).ticks, decades([3, 40]).ticks
    ((10.0, 100.0, 1000.0), (5.0, 10.0, 20.0))
    """
    low, high = min(values) / margin, max(values) * margin
    if low == high:
        low, high = low / 2, high * 2
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = [10.0**power for power in powers if low <= 10.0**power <= high]
    if len(ticks) < 3:
        steps = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        ticks = [step for step in steps if low <= step <= high]
        return Axis("log", low, high, tuple(ticks) or None)
    return Axis("log", low, high, tuple(ticks[:: -(-len(ticks) // 7)]))


def doublings(values: Sequence[float]) -> Axis:
    """Make a logarithmic axis for bytes, from power of two to power of two, ticks at most eight.

    >>> doublings([4096, 60000]).ticks
    (4096, 8192, 16384, 32768, 65536)
    """
    first = math.floor(math.log2(min(values)))
    last = max(first + 1, math.ceil(math.log2(max(values))))
    every = -(-(last - first) // 7)
    return Axis("log", 1 << first, 1 << last, tuple(1 << power for power in range(first, last + 1, every)))


def from_zero(values: Sequence[float]) -> Axis:
    """Make a linear axis from zero."""
    return Axis("linear", 0, 1.05 * max(values), None)


def about(values: Sequence[float]) -> Axis:
    """Make an axis about positive values: linear and close, logarithmic once they differ twentyfold.

    >>> about([5, 5])
    Axis(kind='linear', low=4.75, high=5.25, ticks=None)
    """
    low, high = min(values), max(values)
    if high > 20 * low:
        return decades(values, margin=1.3)
    room = 0.05 * max(high - low, low)
    return Axis("linear", max(0.0, low - room), high + room, None)
