"""A page for each student: what every check found, and what to think about next.

One file that fetches nothing and runs nothing. A student's name and messages are anyone's text: the template
escapes them.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from tinytorch.course.exercises import STEPS, of_step
from tinytorch.course.grading.grades import Grade, worth
from tinytorch.course.outcome import Outcome
from tinytorch.figures.words import plain
from tinytorch.runtime.extras import needs

#: Bytes of a file's name: file systems take 255, with what stands there while it is being written.
_LONGEST = 200


def file_name(student: str) -> str:
    """Return the name of a student's page.

    >>> file_name("Zoë O'Neill")
    "Zoë O'Neill.html"
    """
    if len(student.encode(errors="surrogateescape")) > _LONGEST:
        digest = hashlib.sha256(student.encode(errors="surrogateescape")).hexdigest()[:16]
        student = f"{student[: _LONGEST // 8]}…{digest}"
    return f"{student}.html"


def page(grade: Grade) -> str:
    """Return a student's page as HTML. Raises MissingExtraError."""
    found = {outcome.exercise: outcome for outcome in grade.outcomes}
    steps = [
        {
            "number": number,
            "title": title,
            "points": grade.of_step(number),
            "of": worth()[number],
            "exercises": [
                _shown(found[exercise.name], exercise.title)
                for exercise in of_step(number)
                if exercise.name in found
            ],
        }
        for number, title in STEPS.items()
    ]
    return str(
        _template().render(
            student=plain(grade.student),
            points=grade.points,
            of=sum(worth().values()),
            problem=plain(grade.problem),
            steps=[step for step in steps if step["exercises"]],
            file=plain(grade.file),
            digest=grade.digest,
            style=needs("markupsafe", "feedback pages", "course").Markup(_style()),
        )
    )


def _shown(outcome: Outcome, title: str) -> dict[str, Any]:
    return {
        "name": outcome.exercise,
        "title": title,
        "state": outcome.state,
        "kind": outcome.state if outcome.state in ("passed", "failed") else "open",
        "points": outcome.points,
        "of": outcome.of,
        "seed": outcome.seed,
        "message": _lines(outcome.message),
        "hint": _lines(outcome.hint),
    }


def _lines(text: str) -> str:
    return "\n".join(plain(line) for line in text.splitlines())


def _style() -> str:
    return files("tinytorch.figures").joinpath("page.css").read_text("utf-8")


@cache
def _template() -> Any:
    jinja2 = needs("jinja2", "feedback pages", "course")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(
        files("tinytorch.course.grading").joinpath("feedback.html").read_text("utf-8")
    )
