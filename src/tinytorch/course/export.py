"""A notebook's marked cells written to an importable module of its workspace.

What is still to be written is left out, and with it what would call it: there the library's kernels step in.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytorch.course import names, notebook, reading
from tinytorch.course.exercises import exercises
from tinytorch.course.given import default_exp, exported_by_number, is_directive, read
from tinytorch.course.workspace import Workspace
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.files import write_whole
from tinytorch.runtime.workspace import EXPORTED, VARIABLE

#: Seconds to import an export in, of which `tito test` gives as many to a cell: functions with signatures are
#: compiled then. And to start Python and import this library, where the machine is busy.
_SECONDS, _START = 30, 60

_HEADER = f"# Made by tito export {notebook.MODULE} from "

_IMPORT = """\
import faulthandler, pathlib, sys
from tinytorch.course import mine
faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
try:
    mine.load(pathlib.Path(sys.argv[1]))
except ValueError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Exported:
    """The text of a module, the names in it that are the learner's, and why others were left out."""

    text: str
    names: tuple[str, ...]
    left_out: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return what was exported and what was not, for JSON."""
        return {"exported": list(self.names), "left_out": self.left_out}


@dataclass(frozen=True)
class _Statement:
    """A statement at the top of a cell, the names that it binds, and those that it uses."""

    node: ast.stmt
    binds: frozenset[str]
    uses: frozenset[str]
    lines: range  # of the cell, from 0
    empty: bool  # a function still to be written


def file_of(workspace: Workspace) -> Path:
    """Return where a workspace's export is written."""
    return workspace.home / EXPORTED


def export(workspace: Workspace) -> Exported:
    """Write the marked cells of a workspace's notebook to its module; an earlier export gives way.

    Raises InputError, and leaves what was there, for a cell with a syntax error, if no exercise is written
    yet, if the module cannot be imported, or if the file that is there was not exported.
    """
    target = file_of(workspace)
    if target.exists() and not target.read_bytes().startswith(_HEADER.encode()):
        raise InputError(f"{target} was not made by tito export, and is kept as it is: move it away")
    found = exported(workspace.notebook)
    if not exercises().keys() & found.names:
        raise InputError(f"no exercise of {workspace.notebook} is written yet: there is nothing to export")
    _try_import(found.text, workspace.home)
    target.parent.mkdir(parents=True, exist_ok=True)
    for folder in (target.parent, target.parent.parent):
        (folder / "__init__.py").touch()
    write_whole(target, found.text)
    return found


def exported(path: Path) -> Exported:
    """Return what is to be exported of a notebook; InputError names cell and line of a syntax error."""
    given = read(path)
    if (into := default_exp(given)) != "core.kernels":
        raise InputError(f"#| default_exp names {into}; module {notebook.MODULE} exports to core.kernels")
    sources = exported_by_number(given)
    cells = {number: list(_statements(number, source)) for number, source in sources.items()}
    left_out = _left_out([statement for cell in cells.values() for statement in cell])
    # repr: a name may hold a line's end
    parts = [f"{_HEADER}{path.name!r}: change that, not this file."]
    own: dict[str, None] = {}
    for number, statements in cells.items():
        dropped = set[int]()
        for statement in statements:
            if statement.empty or (statement.binds | statement.uses) & left_out.keys():
                dropped.update(statement.lines)
            elif isinstance(statement.node, ast.FunctionDef | ast.ClassDef | ast.Assign):
                own |= dict.fromkeys(name for name in statement.binds if not name.startswith("_"))
        kept = "\n".join(
            line
            for place, line in enumerate(sources[number].split("\n"))
            if place not in dropped and not is_directive(line)
        ).strip("\n")
        if kept:
            parts.append(f"# cell {number}\n{kept}")
    parts.append(f"__all__ = {sorted(own)!r}")
    return Exported("\n\n\n".join(parts) + "\n", tuple(sorted(own)), left_out)


def _statements(number: int, source: str) -> Iterator[_Statement]:
    rows = source.split("\n")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:  # ValueError: a zero byte
        line = getattr(error, "lineno", None) or 1
        told = f"{getattr(error, 'msg', error)}: {rows[line - 1].strip()}"
        raise InputError(f"cell {number}, line {line}: {told}") from None
    except (MemoryError, RecursionError):
        raise InputError(f"cell {number} nests too deeply for Python to read it") from None
    for node in tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        last = node.end_lineno or first
        text = "\n".join(rows[first - 1 : last])
        yield _Statement(
            node,
            frozenset(names.bound(node)),
            frozenset(names.used(node)),
            range(first - 1, last),
            isinstance(node, ast.FunctionDef) and reading.is_placeholder(text, node.name),
        )


def _left_out(statements: list[_Statement]) -> dict[str, str]:
    """Return the names that are still to be written, and those that would use them, each with the reason."""
    last = {name: statement for statement in statements for name in statement.binds}
    found = {name: "still to be written" for name, statement in last.items() if statement.empty}
    waiting = list(found)
    while waiting:
        missing = waiting.pop()
        for name, statement in last.items():
            if name not in found and missing in statement.uses:
                found[name] = f"uses {missing}"
                waiting.append(name)
    return found


def _try_import(text: str, folder: Path) -> None:
    """Import a module in a process apart; raises InputError if that fails."""
    with tempfile.TemporaryDirectory() as elsewhere:
        candidate = Path(elsewhere).resolve() / EXPORTED.name
        candidate.write_text(text, "utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", _IMPORT, str(candidate), str(_SECONDS)],
                cwd=folder,
                env=os.environ | {VARIABLE: ""},  # what was exported before is not looked at
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_SECONDS + _START,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"{_ENDLESS}; nothing was changed") from None
    if done.returncode:
        raise InputError(f"{_why(done, text, candidate)}; nothing was changed")


_ENDLESS = "importing what is to be exported does not end"


def _why(done: "subprocess.CompletedProcess[bytes]", text: str, candidate: Path) -> str:
    """Return why a module could not be imported, by cells of the notebook."""
    said = done.stderr.decode(errors="replace").strip()
    if re.search(r"^Timeout \(", said, re.MULTILINE):  # faulthandler's, with the innermost line first
        here = re.search(rf'{re.escape(candidate.parent.name)}.{candidate.name}", line (\d+)', said)
        where = f", at {_place(text, int(here[1]))}" if here else ""
        return f"{_ENDLESS}: stopped after {_SECONDS} s{where}"
    told = (said.splitlines() or [f"status {done.returncode}"])[-1]
    told = told.replace(f"{candidate} cannot", "what is to be exported cannot")
    return re.sub(r"\(line (\d+): .*\)$", lambda found: f"({_place(text, int(found[1]))})", told)


def _place(text: str, line: int) -> str:
    """Return a line of a module's text with the cell that it stands in."""
    rows = text.split("\n")
    cells = [row.removeprefix("# ") for row in rows[:line] if re.fullmatch(r"# cell \d+", row)]
    return ": ".join([*cells[-1:], rows[line - 1].strip()])
