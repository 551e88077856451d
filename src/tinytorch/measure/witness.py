"""What disturbed a measurement, as far as a process without privileges can see it.

Preemption shows as context switches that the thread did not ask for; the clock is read from a chain of
additions that take a cycle each.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Turns of a reading, each of 16 additions: ten microseconds.
_TURNS = 1500
#: How far the clock may move from the first third of the rounds to the last.
DRIFT = 0.05
#: Of the samples, how many may have been interrupted.
INTERRUPTED = 0.25


def clock_hertz() -> float:
    """Return the clock of the CPU that this runs on, now: cycles a second.

    >>> max(clock_hertz() for _ in range(20)) > 1e8
    True
    """
    probe, steps = _probe()
    begin = time.perf_counter()
    probe()
    return steps / (time.perf_counter() - begin)


def held_off() -> float:
    """Return the seconds that this thread has waited for a CPU so far; 0 where a system does not tell.

    Linux does: https://docs.kernel.org/scheduler/sched-stats.html

    >>> held_off() >= 0
    True
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) * 1e-9
    except (OSError, IndexError, ValueError):  # another system, or a kernel that keeps no such numbers
        return 0.0


@functools.cache
def _probe() -> tuple[Callable[[], None], int]:
    from tinytorch.simd.build import library
    from tinytorch.simd.chains import STEPS, chain_kernels

    count, result = library(chain_kernels).function("count", 3), np.zeros(1, np.int64)
    return lambda: count(_TURNS, 1, result.ctypes.data), _TURNS * STEPS


class Witness:
    """Watches the rounds of a comparison; one for all that is timed in it."""

    def __init__(self) -> None:
        clock_hertz()  # builds the probe
        self._clocks: list[float] = []
        self._interrupted: dict[str, int] = {}
        self._samples: dict[str, int] = {}

    def round(self) -> None:
        """Read the clock: once before each round. The faster of two readings was not interrupted."""
        self._clocks.append(max(clock_hertz(), clock_hertz()))

    def sample(self, name: str, switches: int) -> None:
        """Take note of how often a sample was interrupted."""
        self._samples[name] = self._samples.get(name, 0) + 1
        self._interrupted[name] = self._interrupted.get(name, 0) + (switches > 0)

    def disturbances(self, name: str) -> tuple[str, ...]:
        """Say what disturbed the samples of one function."""
        told = []
        third = len(self._clocks) // 3
        if third >= 3:
            first, last = (
                statistics.median(part) / 1e9 for part in (self._clocks[:third], self._clocks[-third:])
            )
            if abs(last / first - 1) > DRIFT:
                told.append(f"the clock drifted from {first:.2f} to {last:.2f} GHz")
        interrupted, samples = self._interrupted.get(name, 0), self._samples.get(name, 0)
        if interrupted > INTERRUPTED * samples:
            told.append(f"interrupted by other work in {interrupted} of {samples} samples")
        return tuple(told)

    @property
    def clock(self) -> float | None:
        """Return the median of the readings, in hertz."""
        return statistics.median(self._clocks) if self._clocks else None


def switches() -> int:
    """Return how often this thread lost its CPU to another without asking; 0 where a system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    who: Any = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return resource.getrusage(who).ru_nivcsw
