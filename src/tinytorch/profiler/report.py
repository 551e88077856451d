"""What `tito profile` and `print(profile)` show, from the plain values of `Profile.as_dict`."""

import io
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tinytorch.measure.report import new_table
from tinytorch.measure.roofline import SHOWN
from tinytorch.runtime import units

#: How a count is told, by what counted.
COUNTED = {
    "stated": "as stated by the caller",
    "declared": "declared by our kernels",
    "hardware counters": "counted by the CPU",
    "NumPy operations": "counted: what NumPy ran",
    "torch operations": "counted: what torch ran",
    "numba source": "counted: its source, run step by step",
    "bytes in and out": "arrays in and out; operations are not known",
}
LEVELS = {"compute": "compute", **SHOWN}


def text(found: dict[str, Any], width: int = 100) -> str:
    """Return a profile as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None, emoji=False)
    show(console, found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")


def show(console: Console, found: dict[str, Any]) -> None:
    """Print a profile: what it took, where it stands, what bounds it, what would help."""
    facts = Table(title=escape(found["name"]), show_header=False, title_justify="left", box=None)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in fact_rows(found):
        facts.add_row(name, escape(value))
    console.print(facts)
    console.print(_roofs(found))
    if found["sizes"]:
        columns = ("of the size", "time", "operations", "rate", "bytes", "bandwidth")
        console.print(
            _table("By size: each side of the arrays times so much", columns, size_rows(found), first="right")
        )
    bound = found["bound"]
    console.print(f"[bold]{escape(title_of(bound))}[/]: {escape(bound['reason'])}.")
    for advice in found["recommendations"]:
        console.print(f"- {escape(advice)}")
    for note in found["notes"]:
        console.print(f"[dim]Note: {escape(note)}.[/]")


def title_of(bound: dict[str, Any]) -> str:
    """Return what bounds a call as a title."""
    return "What bounds it is not known" if bound["kind"] == "unknown" else f"Bound by {bound['name']}"


def fact_rows(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what was measured and counted, a line each."""
    time, count, place = found["measurement"], found["count"], found["place"]
    spread = f"+- {time['iqr_s'] / 2 / time['median_s']:.0%}, {time['count']} samples"
    unstable = f"; not stable: {'; '.join(time['unstable'])}" if time["unstable"] else ""
    done = f"{count['operations']:,} operations" if count["operations"] else "operations unknown"
    if count["operations"] and count["dtype"]:
        done += f", most in {count['dtype']}"
    reached = [units.quantity(place["bytes_per_second"], "B/s")]
    if count["operations"]:
        reached.insert(0, units.quantity(place["operations_per_second"], "OP/s"))
        reached.append(f"{place['intensity']:.3g} operations a byte")
    threads = found["roofline"]["threads"]
    busy = f"{found['busy_cpus']:.1f} CPUs busy; held against {_threads(threads)}"
    if len(found["threads"]) > 1:
        times = {int(n): one["median_s"] for n, one in found["threads"].items()}
        most = max(times)
        busy += f"; {times[1] / times[most]:.2f} times as fast on {most} threads as on one"
    rows = [
        ("time", f"{units.quantity(time['median_s'], 's')} a call, {spread}{unstable}"),
        ("does", f"{done}; {count['read_bytes']:,} bytes read, {count['written_bytes']:,} written"),
        ("known by", COUNTED[count["by"]]),
        ("reaches", ", ".join(reached)),
        ("threads", busy),
    ]
    if found["interpreter"]:
        rows.append(("interpreter", f"{units.share(found['interpreter']['share'])} of the time"))
    return tuple(rows)


def roof_rows(found: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the roofs, a line each: what they allow, what was reached, what the call would take at least."""
    place, roofline = found["place"], found["roofline"]
    rows = []
    for roof in place["roofs"]:
        compute = roof["name"] == "compute"
        here = " *" if compute or roof["name"] == place["level"] else ""
        known = found["count"]["operations"] if compute else place["bytes_read"] + place["bytes_written"]
        name = f"compute ({roofline['peak_unit']})" if compute else LEVELS[roof["name"]]
        rows.append(
            (
                name + here,
                units.quantity(roof["rate"], "OP/s" if compute else "B/s"),
                units.share(roof["share"]) if known else "unknown",
                units.quantity(roof["seconds"], "s") if known else "unknown",
            )
        )
    return tuple(rows)


def size_rows(found: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return what it took at other sizes, a line each."""
    return tuple(
        (
            f"{one['factor']:g}",
            units.quantity(one["seconds"], "s"),
            f"{one['operations']:,}" if one["operations"] else "unknown",
            units.quantity(one["operations"] / one["seconds"], "OP/s") if one["operations"] else "unknown",
            f"{one['bytes']:,}",
            units.quantity(one["bytes"] / one["seconds"], "B/s"),
        )
        for one in found["sizes"]
    )


def _roofs(found: dict[str, Any]) -> Table:
    place, roofline = found["place"], found["roofline"]
    title = f"Roofs, {roofline['dtype']}, {_threads(roofline['threads'])}"
    table = _table(title, ("roof", "at most", "of it reached", "would take"), roof_rows(found))
    table.caption = (
        f"* measured beside it; what it touches, {units.size(place['working_set_bytes'])}, lies in "
        f"{LEVELS[place['level']]}"
    )
    table.caption_justify = "left"
    return table


def _table(
    title: str, headers: tuple[str, ...], rows: Any, first: Literal["left", "right"] = "left"
) -> Table:
    table = new_table(title)
    for name in headers:
        table.add_column(name, justify=first if name == headers[0] else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
