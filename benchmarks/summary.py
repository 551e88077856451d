"""What the times say: ratios to the best peer, their geometric mean, fractions of the peak.

Pure functions of outcomes. A ratio above 1 is ours being faster.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.coordinator import Outcome
from benchmarks.peers import OURS

#: Ratios below this are counted: within it lies what the machine's noise makes of equals.
BEHIND = 0.95


def best_peer(outcome: Outcome) -> str | None:
    """Return the fastest contender of the other libraries, by median; None where there is none."""
    peers = [
        name
        for name in outcome.timings
        if outcome.libraries[name] != OURS and outcome.roles[name] == "compared"
    ]
    return min(peers, key=lambda name: outcome.timings[name].median, default=None)


def ratio(outcome: Outcome) -> float | None:
    """Return how many times as fast as the best peer we are; None without both times."""
    peer = best_peer(outcome)
    if peer is None or OURS not in outcome.timings:
        return None
    return outcome.timings[peer].median / outcome.timings[OURS].median


def spread(outcome: Outcome) -> float | None:
    """Return the inter-quartile range of our times, of the median."""
    ours = outcome.timings.get(OURS)
    return None if ours is None else ours.iqr / ours.median


def of_peak(outcome: Outcome) -> float | None:
    """Return the fraction of the peak, measured in the same rounds, that we reach."""
    ours = outcome.timings.get(OURS)
    if ours is None or not outcome.peak:
        return None
    return outcome.case.flops / ours.median / statistics.median(outcome.peak)


def copy_seconds(outcome: Outcome) -> float | None:
    """Return the time of the fastest copy of as many bytes; None where none was timed."""
    copies = (timing.median for name, timing in outcome.timings.items() if outcome.roles[name] == "copy")
    return min(copies, default=None)


def of_copy(outcome: Outcome) -> float | None:
    """Return our bandwidth as a fraction of the fastest copy's."""
    copy, ours = copy_seconds(outcome), outcome.timings.get(OURS)
    return None if copy is None or ours is None else copy / ours.median


def geometric_mean(values: Sequence[float]) -> float:
    """Return the mean that treats twice and half alike.

    >>> geometric_mean([0.5, 2.0])
    1.0

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values have no mean")
    return math.exp(math.fsum(map(math.log, values)) / len(values))


@dataclass(frozen=True)
class Summary:
    """The ratios of one suite on one number of threads."""

    count: int
    mean: float  # geometric
    least: float
    least_at: str
    behind: int  # ratios below BEHIND

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return vars(self).copy()


def summarize(outcomes: Iterable[Outcome]) -> Summary | None:
    """Sum up the ratios; None where there are none."""
    ratios = {outcome.case.name: value for outcome in outcomes if (value := ratio(outcome)) is not None}
    if not ratios:
        return None
    least_at = min(ratios, key=ratios.__getitem__)
    behind = sum(value < BEHIND for value in ratios.values())
    return Summary(len(ratios), geometric_mean(list(ratios.values())), ratios[least_at], least_at, behind)


def unevenness(values: Sequence[float]) -> float:
    """Return how many times the least the greatest is.

    >>> unevenness([50.0, 100.0])
    2.0
    """
    return max(values) / min(values)
