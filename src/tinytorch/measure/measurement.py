"""What timing one function gave: raw samples, what they come to, and what disturbed them."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinytorch.runtime import units

#: Samples below which nothing is said to be stable.
FEW = 5
#: Inter-quartile range, of the median, above which the samples disagree.
SPREAD = 0.1


@dataclass(frozen=True)
class Measurement:
    """What timing one function gave; seconds per call."""

    name: str
    samples: tuple[float, ...] = field(repr=False)
    calls: int  # in one sample
    disturbances: tuple[str, ...] = ()  # seen while it was timed: preemption, a drifting clock

    def __str__(self) -> str:
        """Return it in a line.

        >>> print(Measurement("f", (1e-3, 1e-3, 1e-3, 1e-3, 1e-3), 4))
        f: 1 ms a call, +- 0%, 5 samples
        """
        spread = f"+- {self.iqr / 2 / self.median:.0%}, " if len(self.samples) > 1 else ""
        told = "".join(f"; {reason}" for reason in self.unstable)
        time = units.quantity(self.median, "s")
        return f"{self.name}: {time} a call, {spread}{len(self.samples)} samples{told}"

    @property
    def median(self) -> float:
        """Middle of the samples."""
        return statistics.median(self.samples)

    @property
    def minimum(self) -> float:
        """Fastest sample."""
        return min(self.samples)

    @property
    def iqr(self) -> float:
        """Inter-quartile range: where the middle half of the samples lies."""
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return high - low

    @property
    def unstable(self) -> tuple[str, ...]:
        """Return why the median should not be leaned on; empty if it may be."""
        reasons = []
        if len(self.samples) < FEW:
            reasons.append(f"too few samples: {len(self.samples)} of at least {FEW}")
        elif self.iqr > SPREAD * self.median:
            reasons.append(f"the middle half of the samples spreads over {self.iqr / self.median:.0%}")
        return (*reasons, *self.disturbances)

    @property
    def stable(self) -> bool:
        """Whether nothing speaks against the median."""
        return not self.unstable

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> "Measurement":
        """Return what `as_dict` gave; ValueError, KeyError or TypeError if it is not that."""
        samples = tuple(float(sample) for sample in content["samples_s"])
        if len(samples) < 2 or not all(0 < sample < float("inf") for sample in samples):
            raise ValueError("a measurement needs two samples or more, all above zero")
        disturbances = tuple(map(str, content["disturbances"]))
        return cls(name, samples, int(content["calls_per_sample"]), disturbances)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "name": self.name,
            "median_s": self.median,
            "iqr_s": self.iqr,
            "minimum_s": self.minimum,
            "count": len(self.samples),
            "stable": self.stable,
            "unstable": list(self.unstable),
            "disturbances": list(self.disturbances),
            "calls_per_sample": self.calls,
            "samples_s": list(self.samples),
        }
