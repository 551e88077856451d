"""Times that can be compared: warmed up, interleaved, repeated, and kept as raw samples.

Machines drift and are shared: two functions timed one after the other are timed on two machines. Here each
round times every function once, in random order, so that what disturbs one disturbs all; before each
sample comes a rest and some untimed calls, so that no function inherits the other's threads or caches.
"""

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

#: A sample lasts about this long: 2 ms is 20,000 times the clock's step and shorter than a time slice.
SAMPLE_SECONDS = 2e-3
MIN_SAMPLES = 3
#: Rest before a sample. The threads of a BLAS or OpenMP library may spin on for tens of milliseconds after a
#: call, on the CPUs that the next function needs.
REST_SECONDS = 0.03


class Effort(TypedDict):
    """How long `compare` may try: options that callers pass on."""

    seconds: float  # per function
    rounds: int


@dataclass(frozen=True)
class Measurement:
    """What timing one function gave; seconds per call."""

    name: str
    samples: tuple[float, ...]
    calls: int  # in one sample

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
    def stable(self) -> bool:
        """Whether the middle half lies within 10% of the median, of at least five samples."""
        return len(self.samples) >= 5 and self.iqr <= 0.1 * self.median

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "name": self.name,
            "median_s": self.median,
            "iqr_s": self.iqr,
            "minimum_s": self.minimum,
            "count": len(self.samples),
            "stable": self.stable,
            "calls_per_sample": self.calls,
            "samples_s": list(self.samples),
        }


class WrongResultError(AssertionError):
    """A function computed something else than it should; it is not timed."""


def compare(
    functions: Mapping[str, Callable[..., Any]],
    *args: Any,
    check: Callable[[str, Any], str | None] | None = None,
    seconds: float = 0.5,
    rounds: int = 20,
    on_sample: Callable[[str], None] | None = None,
) -> dict[str, Measurement]:
    """Time functions of the same arguments against each other.

    `check(name, result)` says what is wrong with a result, or None; it is asked before anything is timed.
    Each function gets up to `rounds` samples, and after the third no more once it has used `seconds`.

    Raises WrongResultError naming the function whose result is wrong, ValueError for too few rounds.

    >>> sorted(compare({"sum": sum, "max": max}, [1, 2, 3], seconds=0.01))
    ['max', 'sum']
    """
    if rounds < MIN_SAMPLES:
        raise ValueError(f"rounds must be at least {MIN_SAMPLES}, not {rounds}")
    calls: dict[str, int] = {}
    for name, function in functions.items():
        result = function(*args)  # compiles, fills caches, touches pages
        wrong = check(name, result) if check else None
        if wrong:
            raise WrongResultError(f"{name}: {wrong}")
        del result
        once = _sample(function, args, 1)
        calls[name] = max(1, math.ceil(SAMPLE_SECONDS / max(once, 1e-9)))
    samples: dict[str, list[float]] = {name: [] for name in functions}
    used = dict.fromkeys(functions, 0.0)
    shuffled, order = list(functions), random.Random(0)
    for _ in range(rounds):
        order.shuffle(shuffled)
        for name in shuffled:
            if len(samples[name]) >= MIN_SAMPLES and used[name] >= seconds:
                continue
            time.sleep(REST_SECONDS)
            _warm(functions[name], args)
            elapsed = _sample(functions[name], args, calls[name])
            samples[name].append(elapsed / calls[name])
            used[name] += elapsed
            if on_sample:
                on_sample(name)
    return {name: Measurement(name, tuple(samples[name]), calls[name]) for name in functions}


def _warm(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Call for two samples' time, at least once: a CPU that rested needs about that to run at full speed."""
    until = time.perf_counter() + 2 * SAMPLE_SECONDS
    while True:
        function(*args)
        if time.perf_counter() >= until:
            return


def _sample(function: Callable[..., Any], args: tuple[Any, ...], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        function(*args)
    return time.perf_counter() - begin
