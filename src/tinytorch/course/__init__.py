"""The course: exercises, their checks, and what `tito` does for learners and instructors.

In a notebook: `check(function)` after each exercise, `predict` before a measurement and `reveal` after it.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["CheckFailedError", "check", "predict", "reveal"]

if TYPE_CHECKING:
    from tinytorch.course.notebook_cells import CheckFailedError, check
    from tinytorch.course.predictions import predict, reveal


def __getattr__(name: str) -> Any:
    """Resolve the public names on first use (PEP 562): what confines itself imports little before."""
    if name in ("CheckFailedError", "check"):
        from tinytorch.course import notebook_cells

        return getattr(notebook_cells, name)
    if name in ("predict", "reveal"):
        from tinytorch.course import predictions

        return getattr(predictions, name)
    raise AttributeError(f"module 'tinytorch.course' has no attribute {name!r}")
