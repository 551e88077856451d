"""What `tito test`, `tito export` and `tito status` show, step by step."""

from itertools import groupby
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tinytorch.course.exercises import STEPS, exercises
from tinytorch.course.export import Exported
from tinytorch.course.outcome import Outcome
from tinytorch.course.status import Standing, Status
from tinytorch.course.testing import Result
from tinytorch.runtime.units import digits, quantity

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_STYLES = {
    "passed": "green",
    "failed": "red",
    "not attempted": "dim",
    "not run": "yellow",
    "not tested": "dim",
}


def show_result(console: "Console", found: Result) -> None:
    """Show a test's outcomes: what was expected, and a hint, under each that failed."""
    for step, outcomes in groupby(found.outcomes, lambda one: one.step):
        group = list(outcomes)
        _show_step(console, step, sum(one.points for one in group), sum(one.of for one in group))
        following = next((one for one in group if one.state == "not attempted"), None)
        for one in group:
            _show_outcome(console, one)
            if one is following:
                _show_below(console, f"to write: {exercises()[one.exercise].title}")
    console.print()
    for remark in found.remarks:
        console.print(Text(remark, "yellow"))
    _show_sum(console, found)


def _show_step(console: "Console", step: int, points: int, of: int) -> None:
    row = Table.grid(expand=True)
    row.add_column(ratio=1)
    row.add_column(justify="right")
    row.add_row(Text(f"Step {step}: {STEPS[step]}", "bold"), Text(f"{points} of {of}", "bold"))
    console.print(row)


def _show_outcome(console: "Console", one: Outcome) -> None:
    row = Table.grid(expand=True)
    row.add_column(width=28)
    row.add_column(ratio=1)
    row.add_column(justify="right")
    row.add_row(f"  {one.exercise}", Text(one.state, _STYLES[one.state]), f"{one.points} of {one.of}")
    console.print(row)
    if one.state in ("failed", "not run") and one.message:
        _show_below(console, one.message)
    if one.state == "failed" and one.hint:  # or where it raised
        _show_below(console, one.hint if one.hint.startswith("line ") else f"Hint: {one.hint}")


def _show_below(console: "Console", text: str) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 6)))


def _show_sum(console: "Console", found: Result) -> None:
    points, of = sum(one.points for one in found.outcomes), sum(one.of for one in found.outcomes)
    counts = {state: sum(one.state == state for one in found.outcomes) for state in _STYLES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    console.print(Text(f"{points} of {of} points: {told}", "bold"))
    if counts["failed"]:
        console.print(f"The same inputs again: --seed {found.seed}", highlight=False)


def show_exported(console: "Console", found: Exported, file: "Path") -> None:
    """Show what an export holds, what it leaves out and why, and how to use it."""
    console.print(f"written: {file}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"exported: {', '.join(found.names)}", markup=False, highlight=False)
    reasons: dict[str, list[str]] = {}
    for name, why in found.left_out.items():
        if not name.startswith("_"):
            reasons.setdefault(why, []).append(name)
    for why, left_out in reasons.items():
        console.print(f"left out, {why}: {', '.join(left_out)}", markup=False, highlight=False)


def show_status(console: "Console", found: Status) -> None:
    """Show every exercise with its last outcome, then what to do next."""
    for step, standings in groupby(found.standings, lambda one: one.step):
        group = list(standings)
        _show_step(console, step, sum(one.points for one in group), sum(one.of for one in group))
        for one in group:
            _show_standing(console, one)
    console.print()
    for best in found.bests:
        faster = f"{digits(best.against_numpy)} times as fast as NumPy's, {quantity(best.seconds, 's')}"
        console.print(f"best: {best.ladder}, {best.kernel}: {faster}", markup=False, highlight=False)
    console.print(Text(f"{found.points} of {sum(one.of for one in found.standings)} points", "bold"))
    changed = [one.name for one in found.standings if one.changed]
    if changed:
        console.print(f"changed since it was tested: {', '.join(changed)}", markup=False, highlight=False)
    console.print(_export(found), markup=False, highlight=False)


def _show_standing(console: "Console", one: Standing) -> None:
    row = Table.grid(expand=True)
    row.add_column(width=28)
    row.add_column(width=16)
    row.add_column(ratio=1)
    row.add_column(justify="right")
    marks = [mark for mark, there in (("changed since", one.changed), ("exported", one.exported)) if there]
    state = Text(one.state, _STYLES[one.state])
    row.add_row(f"  {one.name}", state, Text(", ".join(marks), "dim"), f"{one.points} of {one.of}")
    console.print(row)


def _export(found: Status) -> str:
    count = sum(one.exported for one in found.standings)
    return {
        "none": "nothing is exported yet: tito export 13_kernels",
        "current": f"exported: {count} of {len(found.standings)} functions, as they are now",
        "older": "the export is older than the notebook: tito export 13_kernels",
    }.get(found.export, f"the export is older than the notebook, and {found.export}")
