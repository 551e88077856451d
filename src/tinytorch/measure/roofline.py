"""The roofline: how fast a kernel could be at most, by what it computes and what it must move.

After Williams, Waterman and Patterson (Roofline, CACM 52(4), 2009), with a roof for each level of memory as
seen from the core (Ilic, Pratas and Sousa, Cache-aware roofline model, IEEE CAL 13(1), 2014). A roof of
memory depends on how much of what moves is written: it is measured for reading, triad, copy and writing, and
drawn straight, in time per byte, between these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinytorch.measure.bandwidth import mixed
from tinytorch.measure.beside import Beside
from tinytorch.measure.limits import Limits
from tinytorch.measure.peaks import compute_dtype
from tinytorch.runtime.arrays import DType
from tinytorch.runtime.cost import Cost

#: Names of the levels as they are shown.
SHOWN = {"l1": "L1", "l2": "L2", "l3": "L3", "memory": "memory"}


@dataclass(frozen=True)
class Roof:
    """One limit, and how a kernel stands to it."""

    name: str  # "compute", or a level
    seconds: float  # what the cost takes at least under this roof
    rate: float  # operations or bytes a second at the roof
    share: float  # of the roof that was reached: `seconds` by the time it took


@dataclass(frozen=True)
class Place:
    """Where a kernel stands: under each roof, and under the one that its working set lies at."""

    dtype: DType  # whose peak it is held against
    cost: Cost
    seconds: float
    working_set: int
    level: str  # the level of memory that holds the working set
    roofs: tuple[Roof, ...]  # compute first, then the levels from near to far

    @property
    def intensity(self) -> float | None:
        """Operations by bytes; None where nothing moves."""
        return self.cost.operations / self.cost.bytes if self.cost.bytes else None

    @property
    def operations_rate(self) -> float:
        """Operations a second."""
        return self.cost.operations / self.seconds

    @property
    def bytes_rate(self) -> float:
        """Bytes a second."""
        return self.cost.bytes / self.seconds

    def roof(self, name: str) -> Roof:
        """Return one roof by its name."""
        return next(roof for roof in self.roofs if roof.name == name)

    @property
    def binding(self) -> Roof:
        """Return the roof that is lowest for this kernel: compute, or the level of its working set."""
        return max((self.roof("compute"), self.roof(self.level)), key=lambda roof: roof.share)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "dtype": str(self.dtype),
            "operations": self.cost.operations,
            "bytes_read": self.cost.read,
            "bytes_written": self.cost.written,
            "seconds": self.seconds,
            "operations_per_second": self.operations_rate,
            "bytes_per_second": self.bytes_rate,
            "intensity": self.intensity,
            "working_set_bytes": self.working_set,
            "level": self.level,
            "binding": self.binding.name,
            "roofs": [
                {"name": r.name, "seconds": r.seconds, "rate": r.rate, "share": r.share} for r in self.roofs
            ],
        }


@dataclass(frozen=True)
class Roofline:
    """The roofs of one dtype on so many threads."""

    dtype: DType  # whose peak it is
    threads: int
    peak: float  # operations a second
    bandwidths: Mapping[str, Mapping[str, float]]  # by level, near to far, and pass: bytes a second
    ends: Mapping[str, int]  # bytes of each cache that one gets

    @classmethod
    def of(cls, limits: Limits, dtype: DType, threads: int) -> "Roofline":
        """Return the roofline that was measured for a dtype (or the one it is computed in).

        Raises ValueError if nothing was measured for so many threads.
        """
        if threads not in limits.counts():
            counts = " or ".join(map(str, limits.counts()))
            raise ValueError(f"limits were measured for {counts} threads, not {threads}")
        kind = compute_dtype(dtype)
        bandwidths = {
            level: {name: by[threads].value for name, by in passes.items()}
            for level, passes in limits.bandwidths.items()
            if all(threads in by for by in passes.values())  # an L3 may be too small for so many L2
        }
        return cls(kind, threads, limits.peaks[str(kind)][threads].value, bandwidths, limits.cache_ends)

    def bandwidth(self, level: str, written: float) -> float:
        """Return the bytes a second of a level for a mix of which the share `written` is written."""
        return mixed(self.bandwidths[level], written)

    def highest(self, level: str) -> float:
        """Return the bytes a second of a level for the mix that it likes best."""
        return max(self.bandwidths[level].values())

    def level(self, working_set: int) -> str:
        """Return the nearest level that holds so many bytes; each thread brings an L1 and an L2."""
        for name, size in self.ends.items():
            if name in self.bandwidths and working_set <= size * (1 if name == "l3" else self.threads):
                return name
        return "memory"

    def place(
        self, cost: Cost, seconds: float, working_set: int | None = None, beside: Beside | None = None
    ) -> Place:
        """Say how a kernel of a cost that took so long stands to the roofs.

        `working_set` is the bytes of memory that it touches, by default those that it moves. The roofs that
        were measured `beside` it stand for the peak and for the level of its working set.
        """
        size = cost.bytes if working_set is None else working_set
        written = cost.written / cost.bytes if cost.bytes else 0.0
        here = self.level(size)
        roofs = [self._roof("compute", cost.operations, beside.peak.value if beside else self.peak, seconds)]
        for level in self.bandwidths:
            measured = beside.bandwidth.value if beside and level == here else self.bandwidth(level, written)
            roofs.append(self._roof(level, cost.bytes, measured, seconds))
        return Place(self.dtype, cost, seconds, size, here, tuple(roofs))

    def attainable(self, intensity: float, level: str) -> float:
        """Return the operations a second that the roofs of compute and of a level leave at an intensity."""
        return min(self.peak, intensity * self.highest(level))

    @staticmethod
    def _roof(name: str, work: float, rate: float, seconds: float) -> Roof:
        least = work / rate
        return Roof(name, least, rate, least / seconds)
