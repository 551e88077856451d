"""The notebook of a module, made from its step files, and the same without its solutions.

Cell headers of step files are short (`exercise="NAME"`, `check="NAME"`). nbgrader's metadata are made from
them and from `exercises()`, so that an exercise's points stand in one place.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinytorch.course.exercises import exercises
from tinytorch.course.given import is_exported
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import needs

MODULE = "13_kernels"
#: Of a learner's notebook, without its ending.
NOTEBOOK = "kernels"

#: What nbgrader puts in the place of a solution.
_STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
_BEGIN, _END = "BEGIN SOLUTION", "END SOLUTION"

#: So many lines of a solution, one after the other, tell it, if they have so many characters: fewer or
#: shorter ones, as `c, r = cuda.grid(2)` and a comparison, stand in many a kernel.
_RUN, _TELLING = 3, 60

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def known() -> tuple[str, ...]:
    """Return the names of the modules that there are.

    >>> known()
    ('13_kernels',)
    """
    return tuple(sorted(path.name for path in _modules().iterdir() if any(path.glob("[0-9]*_*.py"))))


def folder(module: str = MODULE) -> Path:
    """Return where a module's step files are; InputError names the modules that there are."""
    if module not in known():
        raise InputError(f"there is no module {module!r}; there is {', '.join(known())}")
    return _modules() / module


def _modules() -> Path:
    package = Path(__file__).parents[1]
    checkout = package.parents[1] / "modules"
    if package.parent.name == "src" and checkout.is_dir():
        return checkout
    return Path(__file__).parent / "modules"  # as the wheel carries them


def made(module: str = MODULE) -> Any:
    """Return a module's notebook, an `nbformat.NotebookNode` with solutions and nbgrader's metadata.

    Raises InputError for what does not fit together, MissingExtraError without the extra `course`.
    """
    files = sorted(folder(module).glob("[0-9]*_*.py"))
    points = {name: exercise.points for name, exercise in exercises().items()}
    return put_together({path.stem: path.read_text("utf-8") for path in files}, points)


def put_together(texts: Mapping[str, str], points: Mapping[str, int]) -> Any:
    """Return one notebook of step files, given by name; `points` are those of every exercise.

    Raises InputError, naming file and exercise, for what does not fit together.
    """
    jupytext, nbformat = (needs(name, "notebooks", "course") for name in ("jupytext", "nbformat"))
    notebook = nbformat.v4.new_notebook(metadata=copy.deepcopy(_METADATA))
    seen: dict[str, set[str]] = {"exercise": set(), "check": set()}
    for name, text in texts.items():
        for number, cell in enumerate(jupytext.reads(text, fmt="py:percent").cells):
            roles = {role: cell.metadata.pop(role) for role in seen if role in cell.metadata}
            cell["id"] = f"{name}-{number:03}"[-64:]
            cell.metadata.pop("lines_to_next_cell", None)  # jupytext's own, about empty lines
            for role, answers in roles.items():
                _expand(f"{name}.py", cell, role, answers, points, seen)
            if not roles and (_BEGIN in cell.source or _END in cell.source):
                raise InputError(f'{name}.py: a solution in a cell without exercise="NAME":\n{cell.source}')
            notebook.cells.append(cell)
    for role, names in seen.items():
        if missing := ", ".join(name for name in points if name not in names):
            raise InputError(f'no cell has {role}="NAME" for {missing}')
    return notebook


def _expand(
    file: str, cell: Any, role: str, name: str, points: Mapping[str, int], seen: dict[str, set[str]]
) -> None:
    """Give a cell nbgrader's metadata, once it is what its header says."""
    what = f'{file}: the cell {role}="{name}"'
    if name not in points:
        raise InputError(f"{what} is for no exercise; those are {', '.join(points)}")
    if name in seen[role]:
        raise InputError(f"{what} is there twice")
    seen[role].add(name)
    if role == "exercise":
        if not is_exported(cell.source):
            raise InputError(f"{what} does not begin with #| export")
        if not re.search(rf"^(def|class) {name}\b|^{name} *=", cell.source, re.MULTILINE):
            raise InputError(f"{what} defines no {name}")
        if not list(_solution_lines(cell.source)):
            raise InputError(f"{what} has no ### {_BEGIN} … ### {_END}")
    elif name not in seen["exercise"]:
        raise InputError(f"{what} stands before the exercise")
    elif f"check({name})" not in cell.source:
        raise InputError(f"{what} does not call check({name})")
    test = role == "check"
    cell["id"] = f"check-{name}" if test else name
    cell.metadata["nbgrader"] = {
        "cell_type": "code",
        "grade": test,
        "grade_id": f"check-{name}" if test else name,
        "locked": test,
        "schema_version": 3,
        "solution": not test,
        "task": False,
    } | ({"points": points[name]} if test else {})


def student(notebook: Any) -> Any:
    """Return a copy of a notebook without solutions and outputs, its checks locked, as nbgrader gives it out.

    Raises InputError if a region is not closed, stands in a cell that is no solution cell, or if what is left
    still tells a solution.
    """
    given = copy.deepcopy(notebook)
    solutions = [list(_solution_lines(cell.source)) for cell in notebook.cells]
    for cell in given.cells:
        roles = cell.metadata.get("nbgrader", {})
        is_solution = roles.get("solution", False)
        cleared, replaced = _cleared(cell.source)
        if replaced and not is_solution:
            raise InputError(f"a solution stands in a cell that is no solution cell:\n{cell.source}")
        if is_solution and not replaced:
            cleared = "\n".join(_STUB) if cell.cell_type == "code" else "YOUR ANSWER HERE"
        cell.source = cleared
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if is_solution or roles.get("locked", False):  # as nbgrader's LockCells has it
            cell.metadata["deletable"] = False
        if roles.get("locked", False):
            cell.metadata["editable"] = False
    _check_tells_nothing(given, solutions)
    return given


def _cleared(source: str) -> tuple[str, bool]:
    """Return a cell's text with the placeholder for each solution, and whether there was one."""
    lines: list[str] = []
    inside = replaced = False
    for line in source.split("\n"):
        if _BEGIN in line:
            if inside:
                raise InputError(f"a solution begins within a solution:\n{source}")
            inside = replaced = True
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + stub for stub in _STUB]
        elif _END in line:
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise InputError(f"a solution has no ### {_END}:\n{source}")
    return "\n".join(lines), replaced


def _solution_lines(source: str) -> Iterator[str]:
    """Yield the lines of a cell's solutions without indentation, empty ones left out."""
    inside = False
    for line in source.split("\n"):
        if _BEGIN in line or _END in line:
            inside = _BEGIN in line
        elif inside and line.strip():
            yield line.strip()


def _check_tells_nothing(notebook: Any, solutions: list[list[str]]) -> None:
    telling = set()
    for lines in solutions:
        for start in range(max(len(lines) - _RUN, 0) + 1):
            run = lines[start : start + _RUN]
            if sum(map(len, run)) >= _TELLING:
                telling.add("\n".join(run))
    for number, cell in enumerate(notebook.cells, 1):
        text = "\n".join(line.strip() for line in cell.source.split("\n") if line.strip())
        left = [f"### {mark}" for mark in (_BEGIN, _END) if mark in text]
        left += [lines for lines in telling if f"\n{lines}\n" in f"\n{text}\n"]
        if left:
            raise InputError(f"cell {number} still tells a solution:\n{left[0]}")
