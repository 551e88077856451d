"""A figure with the table of its numbers, as a block of a page or as a file."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch.figures.data import Table
from tinytorch.figures.page import Block
from tinytorch.figures.save import save

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True)
class Figure:
    """A chart, its numbers, and what is to be said of it."""

    name: str
    chart: "altair.LayerChart"
    table: Table
    text: tuple[str, ...] = ()

    def block(self) -> Block:
        """Return it as a section of a page."""
        return Block(self.name[:1].upper() + self.name[1:], self.text, self.table, self.chart)

    @property
    def file_name(self) -> str:
        """Return its name as that of a file, without an ending.

        >>> Figure("ladder matmul 2 x 2, <b>", None, Table((), ())).file_name
        'ladder-matmul-2-x-2-b'
        """
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-.")


def save_all(figures: Iterable[Figure], folder: Path, suffix: str) -> list[Path]:
    """Write each figure into a folder that is there, as .svg or .png; returns the files.

    Raises ValueError if one cannot be written, MissingExtraError.
    """
    written = []
    for figure in figures:
        path = folder / f"{figure.file_name}{suffix}"
        save(figure.chart, path)
        written.append(path)
    return written
