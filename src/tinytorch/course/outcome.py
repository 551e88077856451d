"""One exercise checked: the outcome, in words that a learner can do something with."""

import secrets
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tinytorch.course.checks.by_hand import TO_BUILD_ON
from tinytorch.course.exercises import Exercise
from tinytorch.course.subject import NotAttemptedError, NotRunError, RaisedError, Subject, WrongError
from tinytorch.figures.words import plain

State = Literal["passed", "failed", "not attempted", "not run"]


#: Characters of a message: those of checks have some hundred.
_LONGEST = 2000


@dataclass(frozen=True)
class Outcome:
    """What a check found, and the points gained."""

    exercise: str
    step: int
    state: State
    points: int
    of: int
    message: str = ""
    hint: str = ""
    seed: int = 0  # inputs were drawn from it: with the same seed the check is the same

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)


def fresh_seed() -> int:
    """Return a seed that nobody knows beforehand."""
    return secrets.randbits(48)


def run(exercise: Exercise, subject: Subject, seed: int | None = None) -> Outcome:
    """Check one exercise on inputs drawn fresh, or from a seed."""
    seed = fresh_seed() if seed is None else seed

    def outcome(state: State, message: str = "", hint: str = "") -> Outcome:
        points = exercise.points if state == "passed" else 0
        texts = _printable(message), _printable(hint)
        return Outcome(exercise.name, exercise.step, state, points, exercise.points, *texts, seed)

    try:
        exercise.check(subject, np.random.default_rng(seed))
        _require_own(exercise.name, subject)
    except WrongError as error:
        return outcome("failed", str(error), error.hint)
    except RaisedError as error:
        return outcome("failed", f"{exercise.name} raised {error}", error.where)
    except NotAttemptedError as error:
        return outcome("not attempted", str(error))
    except NotRunError as error:
        return outcome("not run", str(error))
    return outcome("passed")


def _printable(text: str) -> str:
    """Return what may quote a learner's values without control characters, and of some length."""
    return "\n".join(map(plain, text[:_LONGEST].split("\n")))


def _require_own(name: str, subject: Subject) -> None:
    """Raise WrongError for an answer that is the library's own."""
    try:
        used = subject.uses(name)
    except WrongError:  # its text cannot be had, as of what was typed at a prompt
        return
    for one in sorted(used - TO_BUILD_ON):
        # What reaches into the course is told of whichever cell it stands in; no answer is to be had there.
        if one.startswith("tinytorch.") and not one.startswith("tinytorch.course."):
            raise WrongError(f"{name} uses {one}, which is the library's", "What is asked for is your own.")
