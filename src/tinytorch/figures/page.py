"""A report as one file: text, tables and figures that answer, without the network.

The plotting library is in it once, figures as JSON that it draws in the reader's colours (page.js). Names in
a report are anyone's: text is escaped by the template, JSON as well, and the page's policy runs the scripts
whose hashes it names and nothing else, fetches nothing, and forbids eval.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch.figures.data import Table
from tinytorch.figures.extra import needs
from tinytorch.figures.theme import DARK, LIGHT, configuration
from tinytorch.figures.words import plain

if TYPE_CHECKING:
    import altair

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Block:
    """A section of the page: what it says, and shows. A chart comes with a table of the same numbers.

    Raises ValueError for a chart without one: those who cannot see it would be told nothing.
    """

    heading: str
    text: tuple[str, ...] = ()
    table: Table | None = None
    chart: "altair.LayerChart | None" = None
    recommendations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a chart that has no table."""
        if self.chart is not None and self.table is None:
            raise ValueError(f"the chart of {self.heading!r} needs a table of the same numbers beside it")


def page(title: str, blocks: Sequence[Block]) -> str:
    """Return the report as HTML, under 1 MB more than its numbers.

    Raises MissingExtraError.

    >>> text = page("Report", [Block("<script>", text=("a & b",))])
    >>> "&lt;script&gt;" in text, "a &amp; b" in text
    (True, True)
    """
    jinja2 = needs("jinja2")
    drawing = any(block.chart is not None for block in blocks)
    library = bundle() if drawing else ""
    style, script = (_FOLDER / "page.css").read_text(), (_FOLDER / "page.js").read_text()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Our own files, not to be escaped: style and script are not read as HTML text.
    markup = needs("markupsafe").Markup
    own = {"style": markup(style), "script": markup(script), "library": markup(library)}
    return str(
        environment.from_string((_FOLDER / "page.html").read_text()).render(
            title=plain(title),
            blocks=[_shown(block) for block in blocks],
            drawing=drawing,
            themes={"light": configuration(LIGHT), "dark": configuration(DARK)},
            policy=_policy(style, [library, script]),
            **own,
        )
    )


@cache
def bundle() -> str:
    """Return the plotting library as one script. Raises MissingExtraError."""
    text: str = needs("vl_convert").javascript_bundle()
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")  # as HTML reads scripts


def specification(chart: "altair.LayerChart") -> dict[str, Any]:
    """Return a chart as plain values, without what the page or a file says itself."""
    spec: dict[str, Any] = chart.to_dict()
    for said_elsewhere in ("$schema", "config"):
        spec.pop(said_elsewhere, None)
    return spec


def _shown(block: Block) -> dict[str, Any]:
    """Return what the template needs of a block, every text printable."""
    spec = None
    if block.chart is not None:
        spec = specification(block.chart)
        spec.pop("title", None)  # the heading says it
    table = block.table
    if table is not None:
        rows = tuple(tuple(plain(cell) for cell in row) for row in table.rows)
        table = Table(tuple(plain(header) for header in table.headers), rows)
    return {
        "heading": plain(block.heading),
        "text": [plain(paragraph) for paragraph in block.text],
        "recommendations": [plain(each) for each in block.recommendations],
        "spec": spec,
        "table": table,
        "numeric": _numeric(table) if table is not None else (),
    }


def _numeric(table: Table) -> set[int]:
    """Return the columns to be set flush right: every cell a number, nothing, or not known."""
    return {
        column
        for column in range(1, len(table.headers))
        if any(row[column][:1].isdigit() for row in table.rows)
        and all(row[column][:1].isdigit() or row[column] in ("", "unknown") for row in table.rows)
    }


def _policy(style: str, scripts: Sequence[str]) -> str:
    hashes = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
