"""`tito bench --mine`: a learner's kernels on the ladder beside ours, NumPy's and their own earlier best.

Each is tried first on inputs that grow; what is wrong, raises or would take minutes is told of in a line and
left out, and the rest goes on.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinytorch.bench import earlier, ladder
from tinytorch.bench.answers import ANSWERS, Function, rung
from tinytorch.bench.ladder import Ladder, RungError
from tinytorch.bench.trial import LeftOut, attempt
from tinytorch.course.local import Local
from tinytorch.course.running.runner import Runner
from tinytorch.course.subject import NotAttemptedError, Subject
from tinytorch.measure.limits import Limits
from tinytorch.measure.load import BUSY, Load
from tinytorch.measure.timing import Effort
from tinytorch.ops.registry import Operation, Rung, operations
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.workspace import EXPORTED

#: Calls whose time a slow kernel gets, as many as a best needs and one more; and seconds, at most.
_ROUNDS, _MOST = 9, 4.0


@dataclass(frozen=True)
class _How:
    """How it is measured, and who hears of it."""

    effort: Effort
    limits: Limits
    tell: Callable[[str], None]  # what is being done
    say: Callable[[str], None]  # what there is to say of a kernel
    apart: Subject | None  # where a kernel is tried at its first time


class Mine:
    """A learner's kernels, and the folder in which their bests are kept."""

    def __init__(self, functions: Mapping[str, Function], folder: Path, text: str = "") -> None:
        """Take what is on a ladder of `functions`; InputError if nothing is.

        With the `text` that defines them they are tried in a process apart first.
        """
        self._text = text
        self._functions = {name: functions[name] for name in ANSWERS if name in functions}
        self._subject = Local(functions)
        if not self._functions:
            raise InputError(
                f"none of the kernels that {folder} exports is on a ladder; those that are: "
                f"{', '.join(ANSWERS)}. Write one, then: tito export 13_kernels"
            )
        self._earlier = earlier.of_workspace(folder)
        self.remarks = [self._earlier.problem] if self._earlier.problem else []
        self.any_wrong = False
        self._done: set[str] = set()  # wrong or not attempted: not tried again
        self._seen: set[str] = set()  # tried apart

    def climb(
        self,
        quick: bool,
        effort: Effort,
        limits: Limits,
        tell: Callable[[str], None],
        say: Callable[[str], None],
    ) -> Iterator[Ladder]:
        """Yield each ladder that there is a kernel for, as it is measured.

        `say` hears what there is to say of kernels, which stays in `remarks`. Raises RungError if a kernel
        of ours is wrong.
        """
        for line in self.remarks:
            say(line)
        known = operations()
        with Runner([self._text], confined=False) if self._text else nullcontext() as apart:
            how = _How(effort, limits, tell, say, apart)
            for name, shape, quick_shape, _ in ladder.CASES:
                load = Load()
                found = self._climbed(known[name], quick_shape if quick else shape, how)
                if found is not None:
                    yield self._beside_earlier(found, load.of_others() <= BUSY, how)
        if self._done == set(self._functions) and not self.remarks:
            say("none of your kernels is written yet")

    def _climbed(self, operation: Operation, shape: Any, how: _How) -> Ladder | None:
        left: dict[str, Rung] = {}
        slowest, title = 0.0, ladder.title(operation, shape)
        for name, function in self._functions.items():
            if ANSWERS[name].operation == operation.name and name not in self._done:
                one = rung(name, function, operation)
                how.tell(f"{title}: {one.name} tried")
                seconds = self._tried(name, one, operation, shape, how)
                if seconds is not None:
                    left[one.name], slowest = one, max(slowest, seconds)
        effort = how.effort.copy()
        effort["seconds"] = max(effort["seconds"], min(_ROUNDS * slowest, _MOST))
        while left:
            rungs = [*ladder.shown(operation, with_loops=False), *left.values()]
            try:
                with _silence():
                    return ladder.measure(operation, shape, rungs, effort, how.limits, how.tell)
            except RungError as error:
                if not error.rung.mine:
                    raise
                del left[error.rung.name]
                self._leave_out(error.rung, title, LeftOut(error.why, wrong=True), how)
        return None

    def _tried(self, name: str, one: Rung, operation: Operation, shape: Any, how: _How) -> float | None:
        """Return the seconds of a call of a kernel that is right; say what is wrong or strange."""
        try:
            apart = None if name in self._seen else how.apart
            self._seen.add(name)
            tried = attempt(name, one, operation, shape, self._subject, apart)
        except NotAttemptedError:
            self._done.add(name)
            return None
        if tried.prints:
            self._remark(f"{one.name} prints; that is not shown here, and takes part of its time", how)
        if isinstance(tried.found, LeftOut):
            self._leave_out(one, ladder.title(operation, shape), tried.found, how)
            if tried.found.wrong:
                self._done.add(name)
            return None
        return tried.found

    def _leave_out(self, one: Rung, title: str, found: LeftOut, how: _How) -> None:
        self.any_wrong |= found.wrong
        self._remark(f"{one.name} is left out of {title}: {found.why}", how)

    def _remark(self, line: str, how: _How) -> None:
        if line not in self.remarks:
            self.remarks.append(line)
            how.say(line)

    def _beside_earlier(self, found: Ladder, quiet: bool, how: _How) -> Ladder:
        """Hold each kernel against its earlier best, and keep what is better if the machine was quiet."""
        numpy = next(step for step in found.steps if step.rung.name == "numpy")
        steps, better = {step.rung.name: step for step in found.steps}, False
        for name, step in steps.items():
            if step.rung.mine:
                if best := self._earlier.best(found.title, name):
                    ratio = step.against_numpy / best.against_numpy
                    steps[name] = replace(step, against_earlier=ratio)
                better |= quiet and self._earlier.take(found.title, name, step, numpy)
        if better and (why := self._earlier.write()):
            self._remark(f"what you reached is not kept: {why}", how)
        return replace(found, steps=tuple(steps.values()))


def of_workspace() -> Mine:
    """Return the kernels of the workspace that this folder lies in; InputError if there are none."""
    from tinytorch.course import mine, workspace

    folder = workspace.find().home
    with _silence():
        functions = mine.functions(folder)
    return Mine(functions, folder, (folder / EXPORTED).read_text("utf-8"))


@contextmanager
def _silence() -> Iterator[None]:
    """Let nothing be printed through sys.stdout."""
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
        yield
