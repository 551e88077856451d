"""`tito gpu analyze --html`: what is wrong, what to change, each line, the worst requests lane by lane."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinytorch.figures.data import LanesData, Table
from tinytorch.figures.drawn import Figure
from tinytorch.figures.lanes import lanes_chart, lanes_table
from tinytorch.figures.page import Block, page
from tinytorch.profiler.gpu_report import (
    LINE_HEADERS,
    access_cells,
    fact_rows,
    files,
    launch,
    line_rows,
    nothing,
    printed,
)

#: Requests that one figure can show apart.
_MOST = 4


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    """Yield for each kind of memory the requests that cost most, lane by lane."""
    for space, unit in (("global", "sectors of 32 bytes"), ("shared", "wavefronts")):
        requests = _worst(found, space)
        if requests:
            data = LanesData(f"Where lanes went in {space} memory", requests)
            text = f"The request of each access that cost most {unit}; bytes from the lowest that it went to."
            yield Figure(f"lanes in {space} memory", lanes_chart(data), lanes_table(data), (text,))


def render(found: dict[str, Any]) -> str:
    """Return the page. Raises MissingExtraError."""
    blocks = []
    if found["findings"]:
        rows = tuple((one["kind"], _place(one), one["text"]) for one in found["findings"])
        blocks.append(Block("Wrong", table=Table(("what", "where", "how"), rows)))
    if found["printed"]:
        blocks.append(Block("Printed", tuple(printed(found))))
    blocks.append(
        Block(
            "What to change, worst first",
            (launch(found), *(f"Note: {note}." for note in found["notes"]))
            + (() if found["recommendations"] else (nothing(found),)),
            Table(("what", "is"), fact_rows(found)),
            recommendations=tuple(found["recommendations"]),
        )
    )
    for file in files(found):
        blocks.append(
            Block(
                f"Lines of {Path(file).name or 'no file'}", table=Table(LINE_HEADERS, line_rows(found, file))
            )
        )
    blocks += [figure.block() for figure in figures(found)]
    told = tuple(found["provenance"].items())
    blocks.append(Block("Where the numbers are from", table=Table(("number", "from"), told)))
    return page(found["name"], blocks)


def _place(finding: dict[str, Any]) -> str:
    return f"{Path(finding['file']).name}:{finding['line']}"


def _worst(found: dict[str, Any], space: str) -> dict[str, tuple[int | None, ...]]:
    """Return where lanes went, of the accesses that lose most against the ideal; of one if none does."""
    cost = "wavefronts" if space == "shared" else "sectors"
    accesses = [
        (access[cost] - access[f"ideal_{cost}"], line["line"], access)
        for line in found["lines"]
        for access in line["accesses"]
        if access["space"] == space and access["worst"]
    ]
    accesses.sort(key=lambda one: -one[0])
    losing = [one for one in accesses[:_MOST] if one[0] > 0] or accesses[:1]
    return {_name(line, access): _offsets(access["worst"]["addresses"]) for _, line, access in losing}


def _name(line: int, access: dict[str, Any]) -> str:
    return f"line {line}: {access_cells(access)[0]}"


def _offsets(addresses: list[int | None]) -> tuple[int | None, ...]:
    lowest = min(address for address in addresses if address is not None)
    return tuple(None if address is None else address - lowest for address in addresses)
