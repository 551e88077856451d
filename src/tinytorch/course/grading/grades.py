"""Points and what was found, of every student: as they are kept in JSON and told in CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinytorch.course.exercises import STEPS, of_step
from tinytorch.course.outcome import Outcome
from tinytorch.figures.words import plain
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.files import UNREADABLE

#: What makes a spreadsheet take a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 (they are read as the others)


@dataclass(frozen=True)
class Grade:
    """One student's outcomes, in the order of the exercises."""

    student: str
    file: str  # within the folder; empty where there is none
    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""  # why the submission could not be graded, or not to its end
    digest: str = ""  # SHA-256 of the file
    seconds: float = 0.0
    confinement: tuple[str, ...] = ()  # what held the student's code

    @property
    def points(self) -> int:
        """All points gained."""
        return sum(outcome.points for outcome in self.outcomes)

    @property
    def graded(self) -> bool:
        """Whether everything could be judged that was to be."""
        return not self.problem

    def of_step(self, step: int) -> int:
        """Return the points gained in one step."""
        return sum(outcome.points for outcome in self.outcomes if outcome.step == step)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        steps = {str(step): self.of_step(step) for step in STEPS}
        return {
            **{name: getattr(self, name) for name in ("student", "file", "problem", "digest", "points")},
            "steps": steps,
            "seconds": round(self.seconds, 3),
            "confinement": list(self.confinement),
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
        }


@dataclass(frozen=True)
class Grades:
    """The grades of a folder, in the order of the submissions, and how they were found."""

    grades: tuple[Grade, ...]
    seed: int  # with it every check is the same again
    complete: bool  # False: it was interrupted, and the rest is missing
    settings: dict[str, Any] = field(default_factory=dict)  # jobs, limits, versions, the machine

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "complete": self.complete,
            "seed": self.seed,
            **self.settings,
            "of": {str(step): of for step, of in worth().items()},
            "students": [grade.as_dict() for grade in self.grades],
        }

    def csv(self) -> str:
        """Return a row for each student: points by step, then the total. No name is a formula."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")  # as RFC 4180 has it
        writer.writerow(["student", *(f"step {step}" for step in STEPS), "total"])
        for grade in self.grades:
            writer.writerow(
                [_harmless(grade.student), *(grade.of_step(step) for step in STEPS), grade.points]
            )
        return text.getvalue()


def worth() -> dict[int, int]:
    """Return the points that each step is worth.

    >>> sum(worth().values())
    100
    """
    return {step: sum(exercise.points for exercise in of_step(step)) for step in STEPS}


def read(path: Path) -> tuple[int, dict[str, Grade]]:
    """Read a file of grades: its seed, and the grades by student. Raises InputError if it is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return int(found["seed"]), {each["student"]: _grade(each) for each in found["students"]}
    except UNREADABLE as error:
        raise InputError(f"{path} holds no grades of `tito grade`: {error!r}") from None


def _grade(found: Mapping[str, Any]) -> Grade:
    outcomes: Sequence[Mapping[str, Any]] = found["outcomes"]
    return Grade(
        student=str(found["student"]),
        file=str(found["file"]),
        outcomes=tuple(Outcome(**outcome) for outcome in outcomes),
        problem=str(found["problem"]),
        digest=str(found["digest"]),
        seconds=float(found["seconds"]),
        confinement=tuple(map(str, found["confinement"])),
    )


def _harmless(name: str) -> str:
    """Return a name that a spreadsheet takes for text."""
    name = plain(name)
    return f"'{name}" if name.lstrip().startswith(_FORMULA) else name
