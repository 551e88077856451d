"""`tito start`, `test`, `export`, `status` and `notebook`: the course for those who learn from it."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch.options import add_json, check_json, count, write_json
from tinytorch.runtime.errors import InputError

if TYPE_CHECKING:
    from tinytorch.course.workspace import Workspace

_MODULE = "13_kernels"


def add(commands: Any) -> None:
    """Add the course's commands to those of tito."""
    _add_start(commands)
    _add_test(commands)
    for name, command, words, description in (
        (
            "export",
            _export,
            "write your kernels to a module that tinytorch.core.kernels takes up",
            "Write the notebook's cells marked #| export to tinytorch_exports/core/kernels.py in its "
            "workspace. There `from tinytorch.core.kernels import ...` then gives your functions where they "
            "are written, and the library's otherwise.",
        ),
        (
            "status",
            _status,
            "how far you have come",
            "Show what the last test found of each exercise, what has changed since, and what is exported.",
        ),
    ):
        parser = commands.add_parser(name, help=words, description=description)
        _add_notebook(parser)
        add_json(parser)
        parser.set_defaults(command=command, name=name)
    parser = commands.add_parser(
        "notebook",
        help="open the notebook in JupyterLab",
        description="Open a workspace's notebook in JupyterLab, where that is installed.",
    )
    _add_notebook(parser)
    parser.set_defaults(command=_notebook, name="notebook")


def _add_start(commands: Any) -> None:
    start = commands.add_parser(
        "start",
        help="lay a workspace with a course module's notebook",
        description="Lay a folder with a module's notebook, to be worked through. Nothing that is there is "
        "overwritten.",
    )
    start.add_argument("module", metavar="MODULE", help=_MODULE)
    start.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="(default: MODULE, in this folder)"
    )
    start.add_argument(
        "--script", action="store_true", help="a .py file of the percent format in place of a notebook"
    )
    start.set_defaults(command=_start, name="start")


def _add_test(commands: Any) -> None:
    test = commands.add_parser(
        "test",
        help="check the exercises of your notebook",
        description="Check a notebook's exercises on fresh inputs, in a process apart with limits on time "
        "and memory. The exit status is 0 only if all that was asked for passed.",
    )
    _add_notebook(test)
    test.add_argument(
        "--step", type=count, action="append", default=[], metavar="N", help="only this step; can be repeated"
    )
    test.add_argument(
        "--exercise", action="append", default=[], metavar="NAME", help="only this one; can be repeated"
    )
    test.add_argument("--seed", type=count, metavar="N", help="the inputs of an earlier test")
    add_json(test)
    test.set_defaults(command=_test, name="test")


def _add_notebook(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "module", nargs="?", default=_MODULE, metavar="MODULE", help="(default: %(default)s)"
    )
    command.add_argument(
        "notebook",
        nargs="?",
        type=Path,
        metavar="NOTEBOOK",
        help="a notebook, a script, or the folder of one (default: the workspace around this folder)",
    )


def _found(options: argparse.Namespace) -> "Workspace":
    """Return what a command is about; a notebook may be named without its module."""
    from tinytorch.course import notebook, workspace

    if options.notebook is None and options.module not in notebook.known():
        path = Path(options.module)
        if path.exists() or path.suffix in (".ipynb", ".py"):
            return workspace.find(path)
    notebook.folder(options.module)  # an unknown one is told of
    return workspace.find(options.notebook, options.module)


def _start(options: argparse.Namespace) -> int:
    from tinytorch.course import workspace

    folder = Path(options.module) if options.folder is None else options.folder
    laid = workspace.start(options.module, folder, options.script)
    print(f"written: {laid.notebook}")
    first = "" if folder.resolve() == Path.cwd() else f"cd {_quoted(folder)}, then "
    print(f"Work through it, and check what you have: {first}tito test {options.module}")
    return 0


def _quoted(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if " " in text else text


def _test(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.course import shown, testing

    console = Console(stderr=options.json == "-", emoji=False)
    check_json(options)
    workspace = _found(options)
    asked = testing.chosen(options.step, options.exercise)
    place = {exercise.name: number for number, exercise in enumerate(asked, 1)}
    with console.status("starting") as status:
        found = testing.run(
            workspace,
            asked,
            options.seed,
            lambda one: status.update(f"{one.name} ({place[one.name]} of {len(asked)})"),
        )
    if options.json != "-":
        shown.show_result(console, found)
    if options.json:
        write_json(options, found.as_dict())
    return 0 if found.passed else 1


def _export(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.course import export, shown

    console = Console(stderr=options.json == "-", emoji=False)
    check_json(options)
    workspace = _found(options)
    with console.status("importing what is to be exported"):
        found = export.export(workspace)
    file = export.file_of(workspace)
    if options.json != "-":
        shown.show_exported(console, found, file)
    return write_json(options, {"file": str(file), **found.as_dict()}) if options.json else 0


def _status(options: argparse.Namespace) -> int:
    from rich.console import Console

    from tinytorch.course import shown
    from tinytorch.course.status import status

    check_json(options)
    found = status(_found(options))
    if options.json != "-":
        shown.show_status(Console(emoji=False), found)
    return write_json(options, found.as_dict()) if options.json else 0


def _notebook(options: argparse.Namespace) -> int:
    found = _found(options)
    if importlib.util.find_spec("jupyterlab") is None:
        raise InputError(
            f"JupyterLab is not installed: `pip install jupyterlab`, or open {found.notebook} in an editor "
            "for notebooks"
        )
    command = [sys.executable, "-m", "jupyterlab", str(found.notebook.resolve())]
    return subprocess.run(command, cwd=found.notebook.parent, check=False).returncode
