"""The submissions in a folder: one file for each student, and what is wrong where there is none.

Names of students are names of files: spaces, letters of any script and markup are theirs. A link is refused,
since it would have someone else's file graded.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tinytorch.course.given import LARGEST
from tinytorch.course.notebook import MODULE, NOTEBOOK
from tinytorch.runtime.errors import InputError

_ENDINGS = (".ipynb", ".py")
#: What archives from macOS hold beside the files: it is no student's.
_OF_ARCHIVES = "__MACOSX"
#: The problem of who handed in nothing, about which nobody can do anything.
NOTHING = "nothing was handed in: the folder is empty"


@dataclass(frozen=True)
class Submission:
    """What a student handed in; `path` is None where `problem` says why nothing of it can be graded."""

    student: str
    path: Path | None
    file: str = ""  # the same within the folder
    problem: str = ""
    digest: str = ""  # SHA-256 of the file


@dataclass(frozen=True)
class Found:
    """The submissions by students' names, and the names of files that are none."""

    submissions: tuple[Submission, ...]
    others: tuple[str, ...]


class _NoSubmissionError(Exception):
    """There is nothing to grade; says why."""


def find(folder: Path) -> Found:
    """Find FOLDER/NAME.ipynb or .py, and in FOLDER/NAME or FOLDER/NAME/13_kernels the notebook.

    A folder's notebook is kernels.ipynb, kernels.py, or the only .ipynb or .py in it. Hidden files and
    __MACOSX are passed over. Raises InputError if there is no such folder or nothing in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one that holds the submissions")
    root = folder.resolve()
    candidates: dict[str, list[Path]] = {}
    others = []
    for path in sorted(root.iterdir(), key=lambda path: (path.name.casefold(), path.name)):
        if _is_hidden(path):
            continue
        if path.suffix in _ENDINGS and not path.is_dir():
            candidates.setdefault(path.stem, []).append(path)
        elif path.is_dir():
            candidates.setdefault(path.name, []).append(path)
        else:
            others.append(path.name)
    if not candidates:
        raise InputError(
            f"{folder} holds no submissions; those are NAME.ipynb, NAME.py, NAME/{NOTEBOOK}.ipynb "
            f"or NAME/{MODULE}/{NOTEBOOK}.ipynb"
        )
    return Found(tuple(_one(name, paths, root) for name, paths in candidates.items()), tuple(others))


def _one(student: str, paths: list[Path], root: Path) -> Submission:
    try:
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise _NoSubmissionError(f"there are {names}: which of them counts? Leave one")
        path = _notebook(paths[0]) if paths[0].is_dir() else paths[0]
        return Submission(student, path, path.relative_to(root).as_posix(), digest=_digest(path))
    except _NoSubmissionError as error:
        return Submission(student, None, problem=str(error))
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        return Submission(
            student, None, problem=f"it cannot be read: {getattr(error, 'strerror', '') or error}"
        )


def _notebook(folder: Path) -> Path:
    """Return the notebook, or else the script, that a student's folder holds."""
    _no_link(folder)
    for place in (folder / MODULE, folder):
        if not place.is_dir():
            continue
        _no_link(place)
        for ending in _ENDINGS:
            if (named := place / f"{NOTEBOOK}{ending}").exists():
                return named
            some = [path for path in place.glob(f"*{ending}") if not _is_hidden(path)]
            if len(some) == 1:
                return some[0]
            if some:
                raise _NoSubmissionError(
                    f"its folder holds {len(some)} files *{ending} and none is {NOTEBOOK}{ending}: "
                    "which of them counts?"
                )
    rest = (path for path in folder.rglob("*") if not _is_hidden(path) and not path.is_dir())
    raise _NoSubmissionError(NOTHING if next(rest, None) is None else "its folder holds no notebook")


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == _OF_ARCHIVES


def _no_link(path: Path) -> None:
    if path.resolve() != path:
        raise _NoSubmissionError(f"{path.name} is a link: hand in the file itself")


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file that may be graded."""
    _no_link(path)
    # Not blocking: a pipe would be waited for.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 (a descriptor)
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise _NoSubmissionError("it is no ordinary file")
        if facts.st_size > LARGEST:
            raise _NoSubmissionError(
                f"it has {facts.st_size / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}: "
                "clear the notebook's outputs and hand it in again"
            )
        return hashlib.sha256(file.read(LARGEST + 1)).hexdigest()
