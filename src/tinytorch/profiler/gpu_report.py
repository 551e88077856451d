"""What `tito gpu analyze` shows, from the plain values of `Analysis.as_dict`."""

import io
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tinytorch.measure.report import new_table, print_whole
from tinytorch.runtime import units

Row = tuple[str, ...]

LINE_HEADERS = ("line", "source, where it goes", "requests", "a request", "ideal", "lanes", "diverge")


def text(found: dict[str, Any], width: int = 120) -> str:
    """Return an analysis as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None, emoji=False)
    show(console, found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")


def show(console: Console, found: dict[str, Any]) -> None:
    """Print an analysis: findings, lines, what the kernel takes, what to change."""
    console.print(f"[bold]{escape(found['name'])}[/]: {escape(launch(found))}")
    for note in found["notes"]:
        console.print(f"Note: {escape(note)}.", highlight=False)
    for finding in found["findings"]:
        console.print(f"[bold red]Wrong:[/] {escape(finding['text'])}", highlight=False)
    for line in printed(found):
        console.print(f"[dim]>[/] {escape(line)}", highlight=False)
    for file in files(found):
        print_whole(console, _lines(found, file, console.width))
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in fact_rows(found):
        facts.add_row(name, escape(value))
    console.print(facts)
    console.print("[bold]What to change, worst first[/]" if found["recommendations"] else nothing(found))
    for number, advice in enumerate(found["recommendations"], 1):
        console.print(f"{number}. {escape(advice)}", highlight=False)
    for what, how in found["provenance"].items():
        console.print(f"[dim]{escape(what)}: {escape(how)}.[/]", highlight=False)


#: Letters of a line of source that are always shown.
_LEAST = 22


def nothing(found: dict[str, Any]) -> str:
    """Return what stands in the place of recommendations."""
    if found["findings"]:
        return "Beside what is wrong, nothing was found that should be changed."
    if not found["blocks_run"]:
        return "It was not run; of what could be read, nothing was found that should be changed."
    return "Nothing was found that should be changed."


def printed(found: dict[str, Any], most: int = 20) -> list[str]:
    """Return the first lines that the kernel printed, and how many more there are."""
    lines = str(found["printed"]).splitlines()
    more = [f"... and {len(lines) - most:,} lines more"] if len(lines) > most else []
    return lines[:most] + more


def launch(found: dict[str, Any]) -> str:
    """Return how a kernel was made and launched, in words."""
    if found["frontend"] == "cubin":  # which says no launch
        threads = f"; threads of a block: {_product(found['block'])}" if found["occupancy"] else ""
        return f"cubin for {found['arch']}, not run{threads}"
    ran = f"{found['blocks_run']:,} of {found['blocks']:,} run" if found["blocks_run"] else "not run"
    return (
        f"{found['frontend']} for {found['arch']}, blocks: {_product(found['grid'])}, {ran}; "
        f"threads of a block: {_product(found['block'])}"
    )


def files(found: dict[str, Any]) -> list[str]:
    """Return the files whose lines tell something, the one with most of the instructions first."""
    executed: dict[str, int] = {}
    for line in telling(found):
        executed[line["file"]] = executed.get(line["file"], 0) + line["warp_instructions"]
    return sorted(executed, key=lambda file: -executed[file])


def telling(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines that go to memory or multiply matrices, where lanes part, or where some are idle."""
    return [
        line
        for line in found["lines"]
        if line["accesses"]
        or line["matrix_operations"]
        or line["divergent_branches"]
        or (line["line"] and line["active_threads"] < 31.5)
    ]


def line_rows(found: dict[str, Any], file: str) -> tuple[Row, ...]:
    """Return the lines of a file: a row for what a line says, then one for each of its accesses."""
    rows: list[Row] = []
    for line in telling(found):
        if line["file"] != file:
            continue
        parted = f"{line['divergent_branches']:,} of {line['branches']:,}" if line["branches"] else ""
        number = str(line["line"] or "")
        text = line["text"] or ("" if number else "(no line of the source)")
        rows.append((number, text, "", "", "", f"{line['active_threads']:.3g}", parted))
        if line["matrix_operations"]:
            done = units.quantity(line["matrix_operations"], "OP")
            rows.append(("", f" {done} on tensor cores", "", "", "", "", ""))
        for access in line["accesses"]:
            what, *cells = access_cells(access)
            rows.append(("", f" {what}", *cells, "", ""))
    return tuple(rows)


def access_cells(access: dict[str, Any]) -> Row:
    """Return what was gone to and how; requests; what one costs; and what it would at best."""
    name = " ".join(access["arrays"]) or access["space"]
    what = f"{access['kind']} {name}, {access['bits']} bits"
    if access["space"] != "global" and access["arrays"]:
        what += f", {access['space']}"
    cost = "wavefronts" if access["space"] == "shared" else "sectors"
    if not access[cost]:  # of local memory, and of fragments in shared memory, it is not known
        return what, f"{access['requests']:,}", "", ""
    each = access[cost] / access["requests"]
    ideal = min(access[f"ideal_{cost}"] / access["requests"], each)  # lanes may go to the same place
    unit = cost if each != 1 else cost.removesuffix("s")
    return what, f"{access['requests']:,}", f"{each:.3g} {unit}", f"{ideal:.3g}"


def fact_rows(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what the kernel takes and does in all, a line each."""
    rows: list[tuple[str, str]] = []
    if held := found["occupancy"]:
        rows.append(("occupancy", held["words"]))
        if (needed := held["to_gain_a_block"]) and held["share"] < 1:
            most = ", ".join(f"at most {value:,} {name}" for name, value in needed.items())
            rows.append(("one more block", most))
        if waves := held["waves"]:
            rows.append(("waves", _waves(waves)))
    if code := found["machine_code"]:
        rows.append(("registers", f"{code['registers']} a thread; {_spills(code)}"))
        rows.append(("widths", _widths(code["widths"]) or "no loads and stores"))
    rows.append(("tensor cores", _tensor_cores(found["tensor_cores"])))
    if totals := found["totals"]:
        rows += _total_rows(totals)
    if bound := found["bound"]:
        rows.append(
            (
                "least time",
                f"{units.quantity(bound['memory_seconds'], 's')} for memory if no cache answered, "
                f"{units.quantity(bound['compute_seconds'], 's')} for arithmetic, on {bound['product']} "
                "(modelled)",
            )
        )
    return tuple(rows)


def _total_rows(totals: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        (
            "instructions",
            f"{totals['warp_instructions']:,} of warps; {totals['active_threads']:.3g} of 32 lanes active, "
            f"{totals['predicated_on_threads']:.3g} not predicated off",
        )
    ]
    if totals["branches"]:
        rows.append(
            (
                "branches",
                f"{totals['divergent_branches']:,} of {totals['branches']:,} diverged",
            )
        )
    for name, each in (
        ("global loads", "requests"),
        ("global stores", "requests"),
        ("bulk loads", "copies"),
        ("bulk stores", "copies"),
        ("fragment loads", "requests"),
        ("fragment stores", "requests"),
    ):
        traffic = totals[name.replace(" ", "_")]
        if traffic["requests"]:
            rows.append(
                (
                    name,
                    f"{traffic['cost']:,} sectors ({units.size(32 * traffic['cost'])}) in "
                    f"{traffic['requests']:,} {each}, {units.share(traffic['efficiency'])} used",
                )
            )
    shared = totals["shared"]
    if shared["requests"]:
        rows.append(
            (
                "shared memory",
                f"{shared['cost']:,} wavefronts in {shared['requests']:,} requests, "
                f"{totals['bank_conflicts']:,} of them bank conflicts",
            )
        )
    return rows


def _spills(code: dict[str, Any]) -> str:
    moves = f"{code['local_loads']} loads and {code['local_stores']} stores of local memory"
    if code["stack"] is None:
        return f"a function calls itself, so that spills are not known: {moves}"
    if code["spilled"]:
        return f"{code['spilled']:,} bytes a thread spilled: {moves}"
    if code["stack"]:
        return f"nothing spilled; {code['stack']:,} bytes a thread for arrays and calls: {moves}"
    return "nothing spilled"


def _widths(widths: dict[str, dict[int, int]]) -> str:
    return "; ".join(
        f"{base} {', '.join(f'{count} x {bits} bits' for bits, count in counts.items())}"
        for base, counts in widths.items()
    )


def _tensor_cores(cores: dict[str, Any]) -> str:
    if cores["falls_off"]:
        return str(cores["falls_off"])
    if cores["used"] is None:
        return "unknown: there is no machine code"
    if not cores["used"]:
        return "not used"
    return f"{cores['by']}: {', '.join(f'{count} {name}' for name, count in cores['instructions'].items())}"


def _waves(waves: dict[str, Any]) -> str:
    used = f"{units.share(waves['efficiency'])} of the slots are used"
    if waves["waves"] == 1:
        return f"one of {waves['last_wave']:,} blocks, and {waves['product']} runs {waves['slots']:,}: {used}"
    return (
        f"{waves['waves']:,} of {waves['slots']:,} blocks on {waves['product']}, the last of "
        f"{waves['last_wave']:,}: {used}"
    )


def _lines(found: dict[str, Any], file: str, width: int) -> Table:
    """Return the lines of a file as a table; where it is too wide, the source is cut and nothing else."""
    rows = line_rows(found, file)
    needed = [max(len(row[column]) for row in (LINE_HEADERS, *rows)) for column in range(len(LINE_HEADERS))]
    needed[1] = max(_LEAST, min(needed[1], width - sum(needed) + needed[1] - 2 * len(needed) - 2))
    table = new_table(escape(Path(file).name or "Not in the source"))
    for name, least in zip(LINE_HEADERS, needed, strict=True):
        left = name in (LINE_HEADERS[1], "a request")
        table.add_column(
            name, justify="left" if left else "right", overflow="ellipsis", no_wrap=True, width=least
        )
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _product(sides: list[int]) -> str:
    """Return how many there are, and how they are laid out if not in a row.

    >>> _product([4, 1, 1]), _product([32, 32, 1])
    ('4', '1,024 (32 x 32)')
    """
    used = 3 - next((place for place, side in enumerate(reversed(sides)) if side > 1), 2)
    laid_out = f" ({' x '.join(map(str, sides[:used]))})" if used > 1 else ""
    return f"{math.prod(sides):,}{laid_out}"
