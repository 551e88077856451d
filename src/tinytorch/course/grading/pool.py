"""Many submissions graded at once, each by a process of its own (judge.py).

The order of students and what they gain do not depend on how many are graded at a time: inputs are drawn from
the run's seed, the student's name and the exercise's, and speed counts only as a ratio to something timed in
turns with it, in the same process. By default there are half as many graders as CPUs, so that a student's
threads have a second CPU to run on; where there are enough, each grader has CPUs of its own.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from tinytorch.course.exercises import exercises
from tinytorch.course.grading.cpus import hold, shared_out
from tinytorch.course.grading.grades import Grade
from tinytorch.course.grading.submissions import Submission
from tinytorch.course.outcome import Outcome
from tinytorch.course.running.process import remove
from tinytorch.machine.quota import affinity, usable_cpus

#: Seconds that a grader has beyond a submission's time to end the exercise that it is at.
_GRACE = 120.0

Tell = Callable[[str, str], None]  # a student's name, and the exercise that is done; "" at the beginning


def default_jobs() -> int:
    """Return how many submissions are graded at a time if nobody says.

    >>> default_jobs() >= 1
    True
    """
    return max(1, usable_cpus() // 2)


@dataclass
class Graders:
    """The processes that grade: so many at a time, each submission within so many seconds."""

    seed: int | None = None  # None: one that nobody knows is drawn
    jobs: int = field(default_factory=default_jobs)
    seconds: float = 300.0
    without_gpu: bool = False  # exercises that need numba-cuda are left out, and that is no problem
    tell: Tell = lambda student, exercise: None
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: bool = False
    _cpus: queue.SimpleQueue[tuple[int, ...]] = field(default_factory=queue.SimpleQueue)  # no grader's now

    def __post_init__(self) -> None:
        """Share the CPUs out."""
        for share in shared_out(affinity() or (), self.jobs):
            self._cpus.put(share)

    def grade(self, submissions: Iterable[Submission]) -> Iterator[Grade]:
        """Yield the grade of each as they end; those under way are ended with the one who asked."""
        pool = ThreadPoolExecutor(self.jobs, "grader")
        try:
            left: set[Future[Grade]] = {pool.submit(self._one, each) for each in submissions}
            while left:
                # In short waits: on Windows nothing else lets Ctrl-C through.
                done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            with self._lock:
                self._over = True
                for process in self._running:
                    _end(process)
            pool.shutdown(cancel_futures=True)

    def _one(self, submission: Submission) -> Grade:
        if submission.path is None:
            return Grade(submission.student, submission.file, problem=submission.problem)
        self.tell(submission.student, "")
        start = time.monotonic()
        found = _Found()
        with tempfile.TemporaryFile() as errors, self._process(errors) as process:
            timer = threading.Timer(self.seconds + _GRACE, _end, (process,))
            timer.start()
            try:
                self._listen(process, submission, found)
            finally:
                timer.cancel()
            if found.problem is None:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
                found.problem = (
                    f"its grader ended too early, with status {process.returncode} {last}".rstrip()
                )
        judged = {outcome.exercise for outcome in found.outcomes}
        rest = [
            Outcome(each.name, each.step, "not run", 0, each.points, found.problem)
            for each in exercises().values()
            if judged and each.name not in judged
        ]
        return Grade(
            submission.student,
            submission.file,
            (*found.outcomes, *rest),
            found.problem,
            submission.digest,
            time.monotonic() - start,
            found.confinement,
        )

    @contextlib.contextmanager
    def _held(self, pid: int) -> Iterator[None]:
        """Hold a grader to CPUs that no other has meanwhile, if there are such."""
        try:
            cpus = self._cpus.get_nowait()
        except queue.Empty:
            yield
            return
        try:
            hold(pid, cpus)
            yield
        finally:
            self._cpus.put(cpus)

    @contextlib.contextmanager
    def _process(self, errors: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
        """Start a grader, known to `grade` while it runs, and leave nothing of it behind."""
        folder = Path(tempfile.mkdtemp(prefix="tinytorch-grader-"))
        folder.chmod(0o711)  # the student's process, in a folder within, may be another user's
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
        try:
            with subprocess.Popen(
                # -P: a module is not looked for in this folder, which may hold a submission called numpy.py.
                [sys.executable, "-P", "-m", "tinytorch.course.grading.judge"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                env=os.environ | places,
                start_new_session=os.name == "posix",  # Ctrl-C is for this process, which ends the others
            ) as process:
                with self._lock:
                    self._running.add(process)
                    if self._over:
                        _end(process)
                try:
                    with self._held(process.pid):
                        yield process
                finally:
                    with self._lock:
                        self._running.remove(process)
                        _end(process)
        finally:
            remove(folder)

    def _listen(self, process: subprocess.Popen[str], submission: Submission, found: "_Found") -> None:
        """Take in what a grader says, until it has ended."""
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once: its status tells
            json.dump(
                {
                    "path": str(submission.path),
                    "student": submission.student,
                    "seed": self.seed,
                    "seconds": self.seconds,
                    "without_gpu": self.without_gpu,
                },
                process.stdin,
            )
            process.stdin.close()
        for line in process.stdout:
            found.take(line)
            if found.outcomes:
                self.tell(submission.student, found.outcomes[-1].exercise)
        process.wait()


@dataclass
class _Found:
    """What a grader has said so far."""

    outcomes: list[Outcome] = field(default_factory=list)
    confinement: tuple[str, ...] = ()
    problem: str | None = None  # None: it has not come to its end

    def take(self, line: str) -> None:
        """Take in one line."""
        message: dict[str, Any] = json.loads(line)
        if "outcome" in message:
            self.outcomes.append(Outcome(**message["outcome"]))
        elif "confinement" in message:
            self.confinement = tuple(message["confinement"])
        else:
            self.problem = message["problem"]


def _end(process: subprocess.Popen[str]) -> None:
    """End a grader and all that it started, unless it has ended."""
    if process.poll() is not None:  # its number may be another's by now
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        for each in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
