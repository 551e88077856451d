"""Which of two functions is faster, and how sure that is.

Samples of one round were taken one right after the other, so what slowed the machine slowed both: it is the
ratios within rounds that are looked at. Their median is resampled (Efron's percentile bootstrap, 1979), and
with few pairs, of which resampling is too sure, the interval is at least that of the sign test; only if it
leaves out 1 is a difference claimed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: How sure an interval is. At 95% one comparison in twenty of a function with itself would find a difference.
CONFIDENCE = 0.99
RESAMPLES = 2000
#: Below so many pairs chance alone puts all on one side too often: 2 * 0.5^8 is under 1%.
FEW_PAIRS = 8


@dataclass(frozen=True)
class Verdict:
    """How `name` compares with `against`: its time by theirs, with an interval of that."""

    name: str
    against: str
    ratio: float  # median of time by time; below 1 it is faster
    low: float
    high: float
    pairs: int
    paired: bool = True  # whether the samples were taken side by side

    @property
    def outcome(self) -> str:
        """Return "faster", "slower" or "no difference"."""
        if self.pairs < FEW_PAIRS or self.low <= 1 <= self.high:
            return "no difference"
        return "faster" if self.ratio < 1 else "slower"

    def __str__(self) -> str:
        """Say it in words.

        >>> print(Verdict("new", "old", 0.8, 0.78, 0.82, 50))
        new against old: faster, 20.0% less time (18.0% to 22.0%)
        """
        drift = "" if self.paired else "; taken at different times: what drifted between them is in it"
        return f"{self.name} against {self.against}: {self.words}{drift}"

    @property
    def words(self) -> str:
        """Say only what came out."""
        low, high = sorted((abs(self.low - 1), abs(self.high - 1)))
        if self.pairs < FEW_PAIRS:
            return f"{self.pairs} pairs of samples are too few to tell"
        if self.outcome == "no difference":
            return f"no difference seen, within {high:.1%}"
        more = "less" if self.ratio < 1 else "more"
        return f"{self.outcome}, {abs(self.ratio - 1):.1%} {more} time ({low:.1%} to {high:.1%})"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            **{"name": self.name, "against": self.against, "outcome": self.outcome, "ratio": self.ratio},
            **{"low": self.low, "high": self.high, "confidence": CONFIDENCE},
            **{"pairs": self.pairs, "paired": self.paired},
        }


def paired(name: str, samples: Sequence[float], against: str, others: Sequence[float]) -> Verdict:
    """Judge samples that were taken in the same rounds; the longer series is cut to the shorter.

    >>> paired("a", [2.0, 4.0, 6.0] * 3, "b", [1.0, 2.0, 3.0] * 3).ratio
    2.0
    """
    pairs = min(len(samples), len(others))
    logs = _logs(samples[:pairs]) - _logs(others[:pairs])
    low, high = _interval(np.exp(_medians(logs)))
    least, most = np.exp(_sign_test(logs))
    low, high = min(low, float(least)), max(high, float(most))
    return Verdict(name, against, float(np.exp(np.median(logs))), low, high, pairs)


def unpaired(name: str, samples: Sequence[float], against: str, others: Sequence[float]) -> Verdict:
    """Judge samples that were taken at different times: whatever drifted between them is in the ratio."""
    first, second = _logs(samples), _logs(others)
    low, high = _interval(np.exp(_medians(first) - _medians(second, seed=1)))
    ratio = float(np.exp(np.median(first) - np.median(second)))
    return Verdict(name, against, ratio, low, high, min(len(first), len(second)), paired=False)


def _logs(samples: Sequence[float]) -> np.ndarray:
    """Return logarithms; ValueError for what is no time. A clock too coarse to see one gives a picosecond."""
    times = np.asarray(samples, np.float64)
    if not np.all(np.isfinite(times)) or np.any(times < 0):
        raise ValueError("samples must be finite and not negative")
    return np.log(np.maximum(times, 1e-12))


def _sign_test(values: np.ndarray) -> tuple[float, float]:
    """Return the order statistics between which the median lies, as sure as `CONFIDENCE`.

    The k-th smallest and the k-th largest of n leave it out with probability 2 P(Bin(n, 1/2) < k).
    """
    n, ordered, k, tail = len(values), np.sort(values), 0, 0.5 ** len(values)
    while k + 1 <= n // 2 and 2 * (tail := tail + math.comb(n, k + 1) * 0.5**n) <= 1 - CONFIDENCE:
        k += 1
    return float(ordered[k]), float(ordered[n - 1 - k])


def _medians(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the medians of RESAMPLES samples drawn from `values` with replacement, the same every time."""
    picked = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    return np.median(values[picked], axis=1)


def _interval(values: np.ndarray) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)
