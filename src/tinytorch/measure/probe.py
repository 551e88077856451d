"""Run a probe on so many threads at once, again and again, and tell its rate.

Each thread has memory of its own, which it touched first, and a CPU of its own where the system lets a
thread choose. What is summed are the rates while all of them ran.
"""

import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

#: A sample: long enough that starting and stopping do not count.
SAMPLE_SECONDS = 2e-3
SAMPLES = 7
#: Inter-quartile range, of the median, above which a reading says that repeats disagree.
SPREAD = 0.1


@dataclass(frozen=True)
class Probe:
    """Something to repeat: `run(turns)` does `work` (operations, bytes, loads) each turn."""

    run: Callable[[int], None]
    work: float
    memory: Any = None  # what `run` works on, kept as long as the probe is


@dataclass(frozen=True)
class Reading:
    """A number that was measured: the median of repeats and their quartiles."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Reading":
        """Summarize samples.

        >>> Reading.of([1.0, 2.0, 3.0]).value
        2.0
        """
        if len(samples) < 2:
            return cls(samples[0], samples[0], samples[0])
        low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(middle, low, high)

    @property
    def stable(self) -> bool:
        """Whether the repeats agree within a tenth."""
        return self.high - self.low <= SPREAD * abs(self.value)


class Crew:
    """Threads that each run the same probe, at the same time, whenever a sample of it is asked for.

    `make` is called in each thread and gives its probes by name. One thread alone is the caller's. Use it as
    a context: the threads end with it.
    """

    def __init__(
        self, make: Callable[[], Mapping[str, Probe]], threads: int = 1, seconds: float = SAMPLE_SECONDS
    ) -> None:
        self._make, self._seconds = make, seconds
        self._rates = [0.0] * threads
        self._barrier = threading.Barrier(threads + 1)
        self._asked = ""
        self._alone: _Runners | None = None
        self._threads: list[threading.Thread] = []
        self.names: list[str] = []
        if threads == 1:
            self._alone = _Runners(self._made(), seconds)
            return
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._failure: BaseException | None = None
        for index in range(threads):
            cpu = cpus[index] if threads <= len(cpus) else None
            thread = threading.Thread(target=self._serve, args=(index, cpu), daemon=True)
            self._threads.append(thread)
            thread.start()
        self._meet()

    def sample(self, name: str) -> float:
        """Return the work a second that all threads did together."""
        if self._alone:
            return self._alone.rate(name)
        self._asked = name
        self._meet()  # they begin
        self._meet()  # they have ended
        return sum(self._rates)

    def __enter__(self) -> "Crew":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads."""
        self._barrier.abort()  # wherever they wait, even if the caller was interrupted
        for thread in self._threads:
            thread.join()

    def _meet(self) -> None:
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            raise self._failure or RuntimeError("a thread of a probe has gone") from None

    def _made(self) -> Mapping[str, Probe]:
        probes = self._make()
        self.names = list(probes)
        return probes

    def _serve(self, index: int, cpu: int | None) -> None:
        if cpu is not None:
            with suppress(OSError):  # a sandbox may forbid it; then the scheduler decides
                os.sched_setaffinity(0, {cpu})
        try:
            runners = _Runners(self._made(), self._seconds)
            self._barrier.wait()
            while True:
                self._barrier.wait()
                self._rates[index] = runners.rate(self._asked)
                self._barrier.wait()
        except threading.BrokenBarrierError:
            return
        except BaseException as error:  # told to who waits: `_meet`
            self._failure = error
            self._barrier.abort()


class _Runners:
    """The probes of one thread, and for each the number of turns that take a sample's time."""

    def __init__(self, probes: Mapping[str, Probe], seconds: float) -> None:
        self._probes, self._seconds = probes, seconds
        self._turns: dict[str, int] = {}

    def rate(self, name: str) -> float:
        """Return the work a second of one sample."""
        if name not in self._turns:
            self._turns[name] = self._fitting(self._probes[name])
        turns, probe = self._turns[name], self._probes[name]
        return turns * probe.work / _time(probe, turns)

    def _fitting(self, probe: Probe) -> int:
        turns, enough = 1, self._seconds / 4
        while True:
            taken = _time(probe, turns)
            if taken >= enough:  # or it was held off the CPU: one turn would then be all of every sample
                taken = min(taken, _time(probe, turns))
            if taken >= enough:
                return max(1, round(turns * self._seconds / taken))
            turns = max(2 * turns, int(turns * enough / max(taken, 1e-7)))


def _time(probe: Probe, turns: int) -> float:
    begin = time.perf_counter()
    probe.run(turns)
    return time.perf_counter() - begin


def readings(
    make: Callable[[], Mapping[str, Probe]], threads: int, samples: int = SAMPLES
) -> dict[str, Reading]:
    """Return the rates of some probes on so many threads, measured in turn: round by round."""
    with Crew(make, threads) as crew:
        rounds = [{name: crew.sample(name) for name in crew.names} for _ in range(samples)]
    return {name: Reading.of([one[name] for one in rounds]) for name in rounds[0]}


def reading(make: Callable[[], Probe], threads: int, samples: int = SAMPLES) -> Reading:
    """Return the rate of one probe on so many threads."""
    with Crew(lambda: {"": make()}, threads) as crew:
        return Reading.of([crew.sample("") for _ in range(samples)])
