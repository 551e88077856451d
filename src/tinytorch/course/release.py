"""What an instructor gives out: a course folder as nbgrader knows it, with the notebook in it twice.

`source` holds it with solutions, `release` as students get it. It is written once it is sure that it tells no
solution, and that nbgrader takes it.
"""

from pathlib import Path
from typing import Any

from tinytorch.course import notebook
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import needs
from tinytorch.runtime.files import write_whole

NAME = "kernels.ipynb"


def release(folder: Path, module: str = notebook.MODULE, force: bool = False) -> tuple[Path, Path]:
    """Write FOLDER/source/MODULE/kernels.ipynb and FOLDER/release/MODULE/kernels.ipynb; returns both.

    Raises InputError if one of them is there already and `force` was not given: then neither is written.
    """
    targets = (folder / "source" / module / NAME, folder / "release" / module / NAME)
    for target in targets:
        if target.exists() and not force:
            raise InputError(f"{target} is there already; --force writes it anew")
    nbformat = needs("nbformat", "notebooks", "course")
    with_solutions = notebook.made(module)
    given = notebook.student(with_solutions)  # refuses what still tells a solution
    _lock(given)
    contents = (with_solutions, given)
    for content in contents:
        nbformat.validate(content)
    for target, content in zip(targets, contents, strict=True):
        text = nbformat.writes(content) + "\n"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, text)
    return targets


def _lock(given: Any) -> None:
    """Let no check be edited, and neither checks nor exercises be deleted, as nbgrader's LockCells does."""
    for cell in given.cells:
        roles = cell.metadata.get("nbgrader", {})
        if roles.get("solution") or roles.get("locked"):
            cell.metadata["deletable"] = False
        if roles.get("locked"):
            cell.metadata["editable"] = False
