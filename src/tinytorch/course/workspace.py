"""A learner's workspace: a folder with the notebook, and what `tito` keeps beside it.

The marker `.tinytorch.json` makes a folder a workspace. Work is never overwritten.
"""

import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tinytorch import __version__
from tinytorch.course import notebook
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import needs
from tinytorch.runtime.files import UNREADABLE, write_whole
from tinytorch.runtime.workspace import MARKER

#: The notebook, or in its place a script in the percent format.
_NAMES = (f"{notebook.NOTEBOOK}.ipynb", f"{notebook.NOTEBOOK}.py")

_README = """\
# Module 13, Kernels

`{notebook}` is your notebook: work through it from top to bottom. Each step asks for a prediction, then for a
function, checks it, and measures it on this machine.

    tito notebook             # open it in JupyterLab, where that is installed
    tito test 13_kernels      # check everything (save the notebook first); --step 2 checks one step
    tito export 13_kernels    # then, in this folder, tinytorch.core.kernels has your functions
    tito bench --mine         # your kernels beside NumPy's and the library's
    tito status               # what is done, and what has changed since it was checked

The commands work in this folder and in every folder below it. `.tinytorch.json` marks it as a workspace:
leave it where it is.
"""


@dataclass(frozen=True)
class Workspace:
    """A learner's notebook, and the workspace it lies in: None for a notebook that lies elsewhere."""

    notebook: Path
    folder: Path | None

    @property
    def home(self) -> Path:
        """The folder; raises InputError where there is none."""
        if self.folder is None:
            raise InputError(f"{self.notebook} lies in no workspace; tito start {notebook.MODULE} lays one")
        return self.folder


def start(module: str, folder: Path, script: bool = False) -> Workspace:
    """Lay a workspace: the notebook (or script) without solutions, a README and the marker.

    Raises InputError if a notebook is there already, or something that is no folder.
    """
    notebook.folder(module)  # an unknown module is told of first
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder: tito start {module} FOLDER")
    # A link counts even if what it names is gone: to write there would write elsewhere.
    if there := [folder / name for name in _NAMES if os.path.lexists(folder / name)]:
        raise InputError(
            f"{there[0]} is there already, and is kept as it is; for a fresh one name another folder: "
            f"tito start {module} FOLDER"
        )
    name = _NAMES[script]
    text = _text(notebook.student(notebook.made(module)), script)
    marker = {
        "module": module,
        "notebook": name,
        "version": __version__,
        "started": date.today().isoformat(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in (
        (folder / "README.md", _README.format(notebook=name)),
        (folder / MARKER, json.dumps(marker, indent=1) + "\n"),
    ):
        if not os.path.lexists(path):
            write_whole(path, content)
    write_whole(folder / name, text)
    return Workspace(folder / name, folder)


def find(given: Path | None = None, module: str = notebook.MODULE) -> Workspace:
    """Find a notebook: the one given, of the folder given, or of the workspace that this folder lies in.

    Without an argument that is the workspace here or above, or the folder of the module's name below here.
    Raises InputError, saying what would do.
    """
    if given is None:
        here = Path.cwd()
        for folder in (here, *here.parents, here / module):
            if (folder / MARKER).is_file():
                return Workspace(_notebook(folder), folder)
        raise InputError(
            f"no workspace is here, above, or in {module}; tito start {module} lays one, or name a notebook"
        )
    if given.is_dir():
        return Workspace(_notebook(given), given if (given / MARKER).is_file() else None)
    if not given.is_file():
        raise InputError(f"{given} is not there; give a notebook, or the folder of one")
    return Workspace(given, given.parent if (given.parent / MARKER).is_file() else None)


def _notebook(folder: Path) -> Path:
    """Return the notebook of a folder: the one that the marker names, or kernels.ipynb, or kernels.py."""
    for name in (_named(folder / MARKER), *_NAMES):
        if name and (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder} holds neither {' nor '.join(_NAMES)}")


def _named(marker: Path) -> str:
    if not marker.is_file():
        return ""
    try:
        return Path(str(json.loads(marker.read_text("utf-8"))["notebook"])).name
    except UNREADABLE:  # then it only marks the folder
        return ""


def _text(student: Any, script: bool) -> str:
    if not script:
        return str(needs("nbformat", "notebooks", "course").writes(student)) + "\n"
    for cell in student.cells:  # short headers, as in the step files; a script locks no cell
        role = cell.metadata.pop("nbgrader", None)
        for lock in ("deletable", "editable"):
            cell.metadata.pop(lock, None)
        if role is not None:
            name = role["grade_id"].removeprefix("check-")
            cell.metadata["check" if role["grade"] else "exercise"] = name
    return str(needs("jupytext", "notebooks", "course").writes(student, fmt="py:percent"))
