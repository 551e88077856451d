"""What the commands of `tito` have in common: numbers on a command line, and where JSON and figures go."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch.runtime.files import check_writable, write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from tinytorch.figures.drawn import Figure


class Parser(argparse.ArgumentParser):
    """A parser whose list of arguments by place, if it has one, may go on behind options."""

    listed: str | None = None  # its name; argparse ends it at the first option behind one of its values

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Return what is known of a command line, and the rest."""
        found, rest = super().parse_known_args(args, namespace)
        if self.listed and not any(text.startswith("-") and not _is_number(text) for text in rest):
            setattr(found, self.listed, [*getattr(found, self.listed), *rest])
            rest = []
        return found, rest


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def add_json(command: argparse.ArgumentParser) -> None:
    """Give a command the option --json, with a file or without."""
    command.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write everything, raw samples too, to FILE; without a name print it and nothing else",
    )


def check_json(options: argparse.Namespace) -> None:
    """Say before anything is done what is wrong with the file of --json."""
    if options.json not in (None, "-"):
        check_writable(Path(options.json), "--json")


def write_json(options: argparse.Namespace, content: dict[str, Any]) -> int:
    """Write or print what was found; returns the exit status."""
    text = json.dumps(content, indent=1) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    else:
        write_whole(Path(options.json), text)
    return 0


def add_figures(command: argparse.ArgumentParser) -> None:
    """Give a command the options --html, --figures and --format."""
    command.add_argument("--html", metavar="FILE", type=Path, help="write a page with figures to FILE")
    command.add_argument(
        "--figures", metavar="FOLDER", type=Path, help="write each figure into FOLDER, which must be there"
    )
    command.add_argument(
        "--format", choices=("svg", "png"), default="svg", help="of --figures (default: %(default)s)"
    )


def check_figures(options: argparse.Namespace) -> None:
    """Say before anything is done what is wrong with --html and --figures."""
    from tinytorch.figures.extra import needs

    if options.html is not None:
        check_writable(options.html, "--html")
    if options.figures is not None:
        check_writable(options.figures / "figure", "--figures")
    if options.html is not None or options.figures is not None:
        for library in ("altair", "jinja2", "vl_convert"):
            needs(library)


def write_figures(
    options: argparse.Namespace,
    render: Callable[[], str],
    figures: "Iterable[Figure]",
    console: "Console",
) -> None:
    """Write the page that `render` makes, and the figures, where they were asked for, and say so."""
    from tinytorch.figures.drawn import save_all

    written = []
    if options.html:
        write_whole(options.html, render())
        written.append(options.html)
    if options.figures:
        written += save_all(figures, options.figures, f".{options.format}")
    for path in written:
        console.print(f"written: {path}", markup=False, highlight=False)


def number(text: str) -> float:
    """Read a number, as 2e9 is one."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def count(text: str) -> int:
    """Read a whole number from 0 up, 2e9 too."""
    value = number(text)
    if not (0 <= value < float("inf")) or value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 0 up")
    return int(value)


def positive(text: str) -> float:
    """Read a number above 0."""
    value = number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value
