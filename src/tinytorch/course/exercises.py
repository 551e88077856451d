"""The exercises of module 13: the one declaration that notebook, checks, grades and `tito` are drawn from.

An exercise is the check of a function that the learner writes, and is declared by decorating that check.
"""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinytorch.course.subject import Subject

#: The steps, by number; 8 puts everything together.
STEPS = {
    1: "The baseline, and how to measure it",
    2: "Vectorized operations and SIMD",
    3: "Memory layout",
    4: "Parallel processing",
    5: "Timing honestly",
    6: "Compressed kernels",
    7: "The profiler, and what a GPU would do",
    8: "Your kernels in a network",
}

Check = Callable[[Subject, np.random.Generator], None]


@dataclass(frozen=True)
class Exercise:
    """A function that a learner writes, and what it is worth."""

    name: str
    step: int
    points: int
    title: str  # the first line of the check's docstring
    check: Check


_declared: dict[str, Exercise] = {}


def exercise(step: int, points: int) -> Callable[[Check], Check]:
    """Declare the exercise whose function has the name of the check that this decorates."""

    def declare(check: Check) -> Check:
        title = (check.__doc__ or "").partition("\n")[0].rstrip(".")
        _declared[check.__name__] = Exercise(check.__name__, step, points, title, check)
        return check

    return declare


@functools.cache
def exercises() -> dict[str, Exercise]:
    """Return every exercise by name, in the order of the course.

    >>> sum(exercise.points for exercise in exercises().values())
    100
    """
    for step in ("baseline", "simd", "memory", "parallel", "timing", "int8", "profiler", "network"):
        importlib.import_module(f"tinytorch.course.checks.{step}")
    return dict(sorted(_declared.items(), key=lambda item: item[1].step))


def of_step(step: int) -> tuple[Exercise, ...]:
    """Return the exercises of one step."""
    return tuple(found for found in exercises().values() if found.step == step)
