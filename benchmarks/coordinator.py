"""Runs the suites: asks the workers in turn, in rounds of random order, and judges their results.

What drifts or disturbs then meets all alike. A case gets rounds until its time is used up, three at least.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.inputs import copied, expected
from benchmarks.peers import OURS
from benchmarks.process import WorkerError, WorkerProcess
from benchmarks.suites import Case, Suite
from tinytorch.measure import Measurement

MIN_ROUNDS = 3
#: A peer whose call would take longer, going by its best rate so far, is not timed: torch without bfloat16
#: instructions needs two minutes for 4096 x 4096 x 4096, a hundred times as long as the others.
TOO_LONG_SECONDS = 3.0
_PEAK = "peak"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How long a case is tried."""

    rounds: int
    seconds: float  # after which no further round is begun


@dataclass
class Outcome:
    """What one case gave on one number of threads."""

    case: Case
    threads: int
    timings: dict[str, Measurement] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)  # whose each contender is
    roles: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)  # contenders whose result is wrong, and how
    untimed: dict[str, str] = field(default_factory=dict)  # contenders or libraries left out, and why
    peak: list[float] = field(default_factory=list)  # operations a second, a sample a round

    def excluded(self, name: str) -> bool:
        """Whether a contender's times do not count."""
        return name in self.wrong or name in self.untimed

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "operation": self.case.operation,
            "dtype": self.case.dtype,
            "shape": list(self.case.shape),
            "flops": self.case.flops,
            "bytes": self.case.bytes,
            "threads": self.threads,
            "contenders": [
                {"library": self.libraries[name], "role": self.roles[name], **timing.as_dict()}
                for name, timing in self.timings.items()
            ],
            "wrong": self.wrong,
            "untimed": self.untimed,
            "peak_flops": self.peak,
        }


@contextmanager
def workers(
    libraries: Sequence[str], threads: int, missing: dict[str, str]
) -> Iterator[dict[str, WorkerProcess]]:
    """Start the libraries, all at once, and end them; `missing` gets those that cannot be, and why."""
    started = {library: WorkerProcess(library, threads) for library in libraries}
    try:
        ready = {}
        for library, worker in started.items():
            try:
                worker.greet()
                ready[library] = worker
            except WorkerError as error:
                missing[library] = str(error)
        for worker in ready.values():
            worker.suspend()
        yield ready
    finally:
        for worker in started.values():
            worker.stop()


class Coordinator:
    """Times the cases of suites with the workers of one number of threads."""

    def __init__(
        self,
        ready: dict[str, WorkerProcess],
        threads: int,
        effort: Effort,
        tell: Tell,
        left_out: dict[tuple[str, str], str],
        missing: dict[str, str],
    ) -> None:
        self.ready = ready
        self.threads = threads
        self.effort = effort
        self.tell = tell
        self.left_out = left_out  # by suite and library, added to
        self.missing = missing  # by library, added to
        self.order = random.Random(0)
        self.best: dict[tuple[str, str], float] = {}  # operations a second by suite and contender

    def run(self, suite: Suite, case: Case) -> Outcome:
        """Prepare, check and time one case."""
        self.tell(f"{suite.name} {case.name}, {self.threads} threads: preparing")
        outcome = Outcome(case, self.threads)
        self._prepare(suite, outcome)
        self.tell(f"{suite.name} {case.name}, {self.threads} threads: checking")
        self._skip_slow(suite, outcome)
        self._check(outcome)
        self.tell(f"{suite.name} {case.name}, {self.threads} threads: timing")
        self._time(outcome, with_peak=suite.unit == "GFLOP/s" and OURS in self.ready)
        for name, timing in outcome.timings.items():
            key, rate = (suite.name, name), case.flops / timing.median
            self.best[key] = max(rate, self.best.get(key, 0.0))
        return outcome

    def _prepare(self, suite: Suite, outcome: Outcome) -> None:
        """Let all libraries prepare at once: nothing is timed yet."""
        case = outcome.case
        busy = []
        for library in (OURS, *suite.peers):
            worker = self.ready.get(library)
            if worker is None or (suite.name, library) in self.left_out:
                continue
            try:
                worker.send("prepare", operation=case.operation, dtype=case.dtype, shape=case.shape)
                worker.resume()
                busy.append(worker)
            except WorkerError as error:
                self._lose(worker, outcome, str(error))
        for worker in busy:
            try:
                answer = worker.receive()
                worker.suspend()
            except WorkerError as error:
                self._lose(worker, outcome, str(error))
                continue
            if "left_out" in answer:
                self.left_out[suite.name, worker.library] = answer["left_out"]
            for name, role in answer.get("roles", {}).items():
                outcome.libraries[name], outcome.roles[name] = worker.library, role

    def _skip_slow(self, suite: Suite, outcome: Outcome) -> None:
        for name, library in outcome.libraries.items():
            best = self.best.get((suite.name, name))
            seconds = 0.0 if best is None else outcome.case.flops / best
            if seconds > TOO_LONG_SECONDS and library != OURS:
                outcome.untimed[name] = f"a call would take about {seconds:.0f} s"

    def _check(self, outcome: Outcome) -> None:
        """Compare a sample of each contender's result with the exact one."""
        from tinytorch.ops.registry import mismatch

        exact, bound = expected(outcome.case)
        whole = _result_shape(outcome.case)
        for name, role in outcome.roles.items():
            worker = self.ready.get(outcome.libraries[name])
            if worker is None or name in outcome.untimed:
                continue
            try:
                answer = worker.ask("check", name=name)
            except WorkerError as error:
                self._lose(worker, outcome, str(error), name)
                continue
            if tuple(answer["shape"]) != whole:
                outcome.wrong[name] = f"shape {tuple(answer['shape'])} instead of {whole}"
            else:
                wanted = (copied(outcome.case), np.zeros(())) if role == "copy" else (exact, bound)
                wrong = mismatch(np.array(answer["sample"]).reshape(exact.shape), *wanted)
                if wrong:
                    outcome.wrong[name] = f"of a sample {wrong}"

    def _time(self, outcome: Outcome, with_peak: bool) -> None:
        samples: dict[str, list[float]] = {name: [] for name in outcome.roles}
        calls = dict.fromkeys(samples, 1)
        begin = time.monotonic()
        for turn in range(self.effort.rounds):
            if turn >= MIN_ROUNDS and time.monotonic() - begin > self.effort.seconds:
                break
            names = [name for name in samples if not outcome.excluded(name)] + [_PEAK] * with_peak
            self.order.shuffle(names)
            for name in names:
                library = OURS if name == _PEAK else outcome.libraries[name]
                worker = self.ready.get(library)
                if worker is None:
                    continue
                try:
                    if name == _PEAK:
                        outcome.peak.append(worker.ask("peak", dtype=outcome.case.dtype)["rate"])
                        continue
                    answer = worker.ask("measure", name=name)
                except WorkerError as error:
                    self._lose(worker, outcome, str(error), name)
                    continue
                samples[name].append(answer["seconds"])
                calls[name] = answer["calls"]
        for name, values in samples.items():
            if values and not outcome.excluded(name):
                outcome.timings[name] = Measurement(name, tuple(values), calls[name])

    def _lose(self, worker: WorkerProcess, outcome: Outcome, reason: str, name: str | None = None) -> None:
        """Take note of a failure: of one contender, or of a library whose process has ended."""
        outcome.untimed[name or worker.library] = reason
        if not worker.alive:
            del self.ready[worker.library]
            self.missing[worker.library] = f"at {outcome.case.name} {reason}"
            for other, library in outcome.libraries.items():
                if library == worker.library:
                    outcome.untimed.setdefault(other, reason)


def _result_shape(case: Case) -> tuple[int, ...]:
    return case.shape if case.operation == "relu" else (case.shape[0], case.shape[2])
