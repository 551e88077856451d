"""The course's notebook as Jupyter runs it, once for all tests."""

import functools
import time
from dataclasses import dataclass
from typing import Any

import nbclient
import nbformat

from tinytorch.course import notebook

#: Seconds for a cell before it is taken to hang: on a busy machine a kernel may compile for a minute.
_HANG = 600


@dataclass(frozen=True)
class Executed:
    """A notebook with its outputs, and the seconds that it took."""

    notebook: Any
    seconds: float

    def points(self) -> dict[str, int]:
        """Return the points gained by every check, by nbgrader's rule: all, or none where it failed."""
        return {
            cell.metadata.nbgrader.grade_id: 0 if error(cell) else cell.metadata.nbgrader.points
            for cell in self.notebook.cells
            if cell.metadata.get("nbgrader", {}).get("grade")
        }


@functools.cache
def executed(solved: bool) -> Executed:
    """Run the notebook from top to bottom: the one with solutions, or the students'."""
    given = notebook.made()
    if not solved:
        given = notebook.student(given)
    start = time.monotonic()
    nbclient.NotebookClient(given, timeout=_HANG, kernel_name="python3", allow_errors=True).execute()
    seconds = time.monotonic() - start
    nbformat.validate(given)
    return Executed(given, seconds)


def error(cell: Any) -> str:
    """Return what a cell's error says; empty if it ran."""
    for output in cell.get("outputs", ()):
        if output.output_type == "error":
            return f"{output.ename}: {output.evalue}"
    return ""
