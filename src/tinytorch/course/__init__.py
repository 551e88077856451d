"""The course: exercises, their checks, and what `tito` does for learners and instructors.

In a notebook: `check(function)` after each exercise, `predict` before a measurement and `reveal` after it.
"""

from tinytorch.course.notebook_cells import CheckFailedError, check
from tinytorch.course.predictions import predict, reveal

__all__ = ["CheckFailedError", "check", "predict", "reveal"]
