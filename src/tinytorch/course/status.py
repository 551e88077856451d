"""How far a learner has come: what the last test found, what has changed since, and what is exported."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinytorch.course import export, given, names, notebook, tested
from tinytorch.course.exercises import exercises
from tinytorch.course.tested import Tested
from tinytorch.course.workspace import Workspace
from tinytorch.runtime.errors import InputError


@dataclass(frozen=True)
class Standing:
    """One exercise: its last outcome, or None before the first test."""

    name: str
    step: int
    of: int
    last: Tested | None
    changed: bool  # since that outcome
    exported: bool

    @property
    def points(self) -> int:
        """Return the points that the last test gave."""
        return self.last.points if self.last else 0

    @property
    def state(self) -> str:
        """Return the last outcome in a word or two."""
        return self.last.state if self.last else "not tested"


@dataclass(frozen=True)
class Best:
    """The best that `tito bench --mine` kept of one kernel on this machine."""

    ladder: str
    kernel: str
    against_numpy: float  # times as fast as NumPy's in the same run
    seconds: float


@dataclass(frozen=True)
class Status:
    """Every exercise of a workspace, and whether its export is that of the notebook as it is now."""

    notebook: Path
    standings: tuple[Standing, ...]
    export: str  # "none", "current", "older", or why none could be made now
    bests: tuple[Best, ...] = ()

    @property
    def points(self) -> int:
        """Return the points of all exercises."""
        return sum(one.points for one in self.standings)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "module": notebook.MODULE,
            "notebook": str(self.notebook),
            "points": self.points,
            "of": sum(one.of for one in self.standings),
            "export": self.export,
            "bests": [asdict(one) for one in self.bests],
            "exercises": [asdict(one) | {"state": one.state, "points": one.points} for one in self.standings],
        }


def status(workspace: Workspace) -> Status:
    """Return how far a workspace's learner has come; InputError if its notebook cannot be read."""
    last = tested.kept(workspace.home)
    digest_of = tested.digests(given.exported(workspace.notebook))
    file = export.file_of(workspace)
    text = file.read_text("utf-8", "replace") if file.is_file() else ""
    there = names.of_cell(text)[0]
    standings = tuple(
        Standing(
            name,
            exercise.step,
            exercise.points,
            last.get(name),
            name in last and last[name].digest != digest_of[name],
            name in there,
        )
        for name, exercise in exercises().items()
    )
    return Status(workspace.notebook, standings, _export(workspace, text), tuple(_bests(workspace.home)))


def _bests(folder: Path) -> Iterator[Best]:
    from tinytorch.bench import earlier

    if (folder / earlier.FILE).is_file():
        for ladder, rungs in earlier.of_workspace(folder).here().items():
            for kernel, best in rungs.items():
                yield Best(ladder, kernel, best.against_numpy, best.seconds)


def _export(workspace: Workspace, text: str) -> str:
    if not text:
        return "none"
    try:
        return "current" if export.exported(workspace.notebook).text == text else "older"
    except InputError as error:
        return str(error)
