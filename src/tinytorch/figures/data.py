"""What a figure is drawn from: plain numbers in seconds, bytes and operations, each checked when it is given.

Nothing here knows where a number comes from; whoever measured fills these in.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

RATE_UNITS = ("FLOP/s", "OP/s", "B/s")


@dataclass(frozen=True)
class RooflinePoint:
    """A kernel on the roofline: operations per byte, operations per second, and what bounds it.

    `bound` is "compute", the name of a memory level of the roofline, or another reason in words. `share` is
    of the roof as it was measured beside the kernel; without it the roof of the figure is taken. A point
    that a reader looks for has a `label`: it is drawn larger, and its label before others' names.
    Raises ValueError for a number that is not finite and positive: it has no place on logarithmic axes.
    """

    name: str
    intensity: float
    rate: float
    bound: str
    details: Mapping[str, str] = field(default_factory=dict)
    share: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        _positive(f"the intensity of {self.name!r}", (self.intensity,))
        _positive(f"the rate of {self.name!r}", (self.rate,))


@dataclass(frozen=True)
class RooflineData:
    """A machine's roofs (operations per second; bytes per second by memory level), and kernels below them."""

    dtype: str
    threads: int
    peak: float
    peak_unit: Literal["FLOP/s", "OP/s"]
    bandwidths: Mapping[str, float]
    points: tuple[RooflinePoint, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.peak_unit not in ("FLOP/s", "OP/s"):
            raise ValueError(f"peak_unit must be FLOP/s or OP/s, not {self.peak_unit!r}")
        if not self.bandwidths:
            raise ValueError("a roofline needs the bandwidth of at least one memory level")
        _positive("peak", (self.peak,))
        for level, bandwidth in self.bandwidths.items():
            _positive(f"the bandwidth of {level!r}", (bandwidth,))

    def roof(self, point: RooflinePoint) -> float | None:
        """Return the rate (operations per second) that bounds a point, or None where no roof does.

        >>> point = RooflinePoint("relu", intensity=0.125, rate=1e9, bound="memory")
        >>> RooflineData("float32", 1, 1e11, "FLOP/s", {"memory": 2e10}, (point,)).roof(point)
        2500000000.0
        """
        if point.bound == "compute":
            return self.peak
        if point.bound in self.bandwidths:
            return min(self.peak, self.bandwidths[point.bound] * point.intensity)
        return None


@dataclass(frozen=True)
class LadderRung:
    """One rung: seconds a call, its rate in the ladder's unit, times NumPy's speed, whether it was stable.

    `against_earlier`: of a rung that was measured before, its standing to NumPy by the best one then.
    """

    name: str
    seconds: float
    rate: float
    against_numpy: float | None
    stable: bool
    against_earlier: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        _positive(f"seconds of {self.name!r}", (self.seconds,))
        _positive(f"the rate of {self.name!r}", (self.rate,))
        if self.against_numpy is not None:
            _positive(f"the ratio to NumPy of {self.name!r}", (self.against_numpy,))


@dataclass(frozen=True)
class LadderData:
    """An operation's rungs, lowest first. `unit` (FLOP/s, OP/s or B/s) has no prefix: the figure puts one."""

    title: str
    unit: str
    rungs: tuple[LadderRung, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.unit not in RATE_UNITS:
            units = ", ".join(RATE_UNITS)
            raise ValueError(f"the unit of a ladder must be one of {units}, not {self.unit!r}")
        if not self.rungs:
            raise ValueError(f"the ladder {self.title!r} has no rungs")


@dataclass(frozen=True)
class LatencyData:
    """Seconds a dependent load takes in working sets of `sizes` bytes; `caches` in bytes by name."""

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    caches: Mapping[str, int]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.sizes or len(self.sizes) != len(self.seconds):
            counts = f"{len(self.sizes)} sizes and {len(self.seconds)} latencies"
            raise ValueError(f"{counts}: at least one is needed, and as many of either")
        _positive("a size", self.sizes)
        _positive("a latency", self.seconds)
        _positive("the size of a cache", self.caches.values())


@dataclass(frozen=True)
class SamplesData:
    """Raw samples by function, in seconds per call."""

    samples: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.samples:
            raise ValueError("there are no samples to show")
        for name, samples in self.samples.items():
            if not samples:
                raise ValueError(f"{name!r} has no samples")
            _positive(f"a sample of {name!r}", samples)


@dataclass(frozen=True)
class ScalingData:
    """Series over a common x (a size, a number of threads). `y_label`: a unit without prefix, as s or B/s."""

    title: str
    x_label: str
    x: tuple[float, ...]
    series: Mapping[str, tuple[float, ...]]
    y_label: str

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.x or not self.series:
            raise ValueError(f"{self.title!r} has nothing to show")
        _positive(f"{self.x_label!r}", self.x)
        for name, values in self.series.items():
            if len(values) != len(self.x):
                raise ValueError(f"{name!r} has {len(values)} values for {len(self.x)} of {self.x_label!r}")
            _positive(f"{self.y_label!r} of {name!r}", values)


@dataclass(frozen=True)
class LanesData:
    """Requests of a warp by name: the byte that each of 32 lanes went to, from the lowest; None for none."""

    title: str
    requests: Mapping[str, tuple[int | None, ...]]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.requests:
            raise ValueError(f"{self.title!r} has nothing to show")
        for name, offsets in self.requests.items():
            if len(offsets) != 32 or all(offset is None for offset in offsets):
                raise ValueError(f"{name!r} must have 32 lanes, and one at least that takes part")


@dataclass(frozen=True)
class Table:
    """A figure's numbers as text, for those who read rather than look; the first column names the row.

    Raises ValueError if a row is not as wide as the headers.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        """Refuse rows of another width."""
        for row in self.rows:
            if len(row) != len(self.headers):
                raise ValueError(f"the row {row} does not fit the {len(self.headers)} headers {self.headers}")


def _positive(what: str, values: Iterable[float]) -> None:
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{what} must be finite and above zero to be drawn, not {value}")
