"""A learner's notebook or script, read without trust.

Sizes are bounded, and only texts of cells are taken: outputs and metadata prove nothing. A script is in the
percent format: cells begin with `# %%`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytorch.course import reading
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.files import UNREADABLE

#: The course's notebook has 0.1 MB and some 200 cells; one with a hundred large figures has 10 MB, and to be
#: read takes ten times its size in memory.
LARGEST = 20_000_000
_MOST_CELLS = 5_000

_KINDS = ("code", "markdown", "raw")
_LINE_END = re.compile(r"\r\n?|\n")  # as Python has it
_HEADER = re.compile(r"#\s*%%(?!\w)(?P<rest>.*)")
_DIRECTIVE = re.compile(r"#\s*\|\s*(?P<name>\w+)\s*(?P<value>[\w.]*)")
_MAGIC = re.compile(r"(?P<target>\w[\w., ]*=\s*)?(%%?[A-Za-z]|!|\?|[\w.]+\?+$)")


@dataclass(frozen=True)
class Cell:
    """What is taken of a cell, under the names that nbformat has for it."""

    cell_type: str  # "code", "markdown" or "raw"
    source: str


@dataclass(frozen=True)
class Notebook:
    """The cells of a notebook or script, in order."""

    cells: tuple[Cell, ...]


def read(path: str | Path) -> Notebook:
    """Return the cells of a notebook (.ipynb) or percent script (.py).

    Raises InputError in one line, which names the file, for what cannot be read as one.
    """
    path = Path(path)
    text = _text(path)
    cells = tuple(_of_script(text) if path.suffix == ".py" else _of_notebook(text, path))
    if len(cells) > _MOST_CELLS:
        raise InputError(f"{path} has {len(cells)} cells; {_MOST_CELLS} can be read")
    return Notebook(cells)


def exported(given: Any) -> tuple[str, ...]:
    """Return the texts of the cells marked `#| export` of a notebook, or of a file.

    Lines for IPython alone (`%time`, `!ls`, `name?`) become `pass` or None; the count of lines stays.
    """
    return tuple(exported_by_number(given).values())


def exported_by_number(given: Any) -> dict[int, str]:
    """Return the same by the cell's number in the notebook, counted from 1 over cells of every kind."""
    notebook = read(given) if isinstance(given, str | Path) else given
    return {
        number: _without_magics(cell.source)
        for number, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code" and is_exported(cell.source)
    }


def is_exported(source: str) -> bool:
    """Say whether a cell begins with `#| export`, as nbdev reads it.

    >>> is_exported("#|export\\nx = 1"), is_exported("x = 1\\n#| export")
    (True, False)
    """
    return any(name in ("export", "exports", "exporti") for name, _ in _directives(source))


def is_directive(line: str) -> bool:
    """Say whether a line is one for tools that read notebooks, as `#| hide`."""
    return _DIRECTIVE.match(line.strip()) is not None


def default_exp(given: Any) -> str:
    """Return the module that `#| default_exp` names, as "core.kernels"; InputError if there is none."""
    notebook = read(given) if isinstance(given, str | Path) else given
    for cell in notebook.cells:
        for name, value in _directives(cell.source) if cell.cell_type == "code" else ():
            if name == "default_exp" and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", value):
                return value
    raise InputError(
        "no cell names the module to export to; the first is to begin with: #| default_exp core.kernels"
    )


def _text(path: Path) -> str:
    if path.suffix not in (".ipynb", ".py"):
        raise InputError(f"{path} is no notebook: give a .ipynb file, or a .py file of the percent format")
    if not path.is_file():
        raise InputError(
            f"{path} is {'no file' if path.exists() else 'not there'}; give a notebook or script"
        )
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InputError(
            f"{path} has over {LARGEST // 1_000_000} MB; clear its outputs, or what made it so large"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 (byte {error.start})") from None


def _of_notebook(text: str, path: Path) -> Iterator[Cell]:
    try:
        content = json.loads(text)
        version, cells = content["nbformat"], content.get("cells")
    except UNREADABLE as error:
        told = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        raise InputError(
            f"{path} is no notebook ({told}); take the last good copy (Jupyter keeps one in "
            ".ipynb_checkpoints), or a fresh one: tito start 13_kernels FOLDER"
        ) from None
    if version != 4 or not isinstance(cells, list):
        raise InputError(f"{path} is no notebook of format 4; open it in Jupyter and save it")
    for number, cell in enumerate(cells, 1):
        source = cell.get("source") if isinstance(cell, dict) else None
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str) or cell.get("cell_type") not in _KINDS:
            raise InputError(f"{path} is no notebook: its cell {number} has no text, or is of no known kind")
        yield Cell(cell["cell_type"], _LINE_END.sub("\n", source))


def _of_script(text: str) -> Iterator[Cell]:
    """Yield the cells of a script in the percent format; comments before the first one are jupytext's."""
    kind, lines, is_first = "code", list[str](), True
    for line in [*_LINE_END.split(text), "# %%"]:
        if not (header := _HEADER.fullmatch(line.rstrip())):
            lines.append(line)
            continue
        while lines and not lines[-1].strip():
            lines.pop()
        if not is_first or any(line and not line.startswith("#") for line in lines):
            yield Cell(kind, "\n".join(lines))
        lines, is_first = [], False
        rest = header["rest"]
        kind = "markdown" if "[markdown]" in rest or "[md]" in rest else "raw" if "[raw]" in rest else "code"


def _directives(source: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of the directives that a cell begins with; a magic may stand before them."""
    for line in source.split("\n"):
        if found := _DIRECTIVE.match(line.strip()):
            yield found["name"], found["value"]
        elif line.strip() and not line.startswith("%%"):
            return


def _without_magics(source: str) -> str:
    # Where it is Python, a line that begins with % goes on with an expression, or stands in a string.
    if reading.parsed(source) is not None:
        return source
    return "\n".join(map(_without_magic, source.split("\n")))


def _without_magic(line: str) -> str:
    text = line.strip()
    if not (found := _MAGIC.match(text)):
        return line
    instead = f"{found['target']}None" if found["target"] else "pass"
    return f"{line[: len(line) - len(line.lstrip())]}{instead}  # {text}"
