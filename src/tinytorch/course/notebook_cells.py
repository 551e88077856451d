"""`check`, as the notebook's test cells call it."""

import sys
from typing import Any

from tinytorch.course import outcome
from tinytorch.course.exercises import exercises
from tinytorch.course.local import Local
from tinytorch.runtime.errors import InputError


class CheckFailedError(AssertionError):
    """A check did not pass; shown in a notebook as its message alone."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]


def check(*functions: Any) -> None:
    """Check the exercises that these functions are answers to, and print what was found.

    What cannot be run here is told on stderr, which nbgrader gives no points for, and the notebook goes on.
    Raises CheckFailedError with what was expected and a hint; InputError for what is no exercise.
    """
    given = {_name(function): function for function in functions}
    known = exercises()
    for name in given:
        if name not in known:
            raise InputError(f"{name} is no exercise; those are {', '.join(known)}")
    subject = Local(given)
    for name in given:
        found = outcome.run(known[name], subject)
        if found.state == "not run":
            print(f"{name}: not run here, 0 of {found.of} points: {found.message}", file=sys.stderr)
            continue
        if found.state != "passed":
            lines = [f"{name}: {found.state}, 0 of {found.of} points", found.message, found.hint]
            raise CheckFailedError("\n".join(line for line in lines if line))
        print(f"{name}: passed, {found.points} of {found.of} points")


def _name(function: Any) -> str:
    function = getattr(function, "py_func", function)
    return str(getattr(function, "__name__", type(function).__name__))
