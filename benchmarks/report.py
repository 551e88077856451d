"""What a run shows: a table for each suite and number of threads, and what they sum up to, with rich.

The best peer of a shape is bold; libraries and contenders without times are named with their reasons.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import summary
from benchmarks.coordinator import Outcome
from benchmarks.peers import OURS
from benchmarks.suites import Suite
from tinytorch.bench.report import BUSY

_LABELS = {"tinytorch": "ours", "tinytorch float32": "ours float32"}


def contenders(outcomes: Sequence[Outcome]) -> list[str]:
    """Return every contender that has a column, in the order of the libraries."""
    names: dict[str, None] = {}
    for outcome in outcomes:
        names.update(dict.fromkeys(name for name, role in outcome.roles.items() if role != "copy"))
    return list(names)


def rows(suite: Suite, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return the cells of a suite's table, without the header."""
    names = contenders(outcomes)
    return [
        [
            outcome.case.name,
            *(_cell(suite, outcome, name) for name in names),
            *(column(outcome) for _, column in _last_columns(suite)),
        ]
        for outcome in outcomes
    ]


def show_suite(console: Console, suite: Suite, threads: int, outcomes: Sequence[Outcome]) -> None:
    """Print a suite's table and what it sums up to."""
    console.print(f"[bold]{suite.title}, {_count(threads, 'thread')}, {suite.unit}[/]")
    table = Table()
    table.add_column("shape", no_wrap=True)
    labels = [_LABELS.get(name, name) for name in contenders(outcomes)]
    for label in (*labels, *(label for label, _ in _last_columns(suite))):
        table.add_column(label, justify="right")
    for cells in rows(suite, outcomes):
        table.add_row(*cells)
    console.print(table)
    for line in lines(suite, outcomes):
        console.print(line)
    console.print()


def lines(suite: Suite, outcomes: Sequence[Outcome]) -> list[str]:
    """Return what is said below a suite's table."""
    said = []
    total = summary.summarize(outcomes)
    if total is not None:
        said.append(
            f"Ours to the best peer: geometric mean [bold]{total.mean:.2f}[/] of "
            f"{_count(total.count, 'shape')}, least {total.least:.2f} at {total.least_at}, "
            f"{total.behind} below {summary.BEHIND}."
        )
    peaks = [rate / 1e9 for outcome in outcomes for rate in outcome.peak]
    if peaks:
        said.append(
            f"Peak, measured in the same rounds: {statistics.median(peaks):.1f} GFLOP/s "
            f"({min(peaks):.1f} to {max(peaks):.1f})."
        )
    if not suite.peers:
        fractions = [value for outcome in outcomes if (value := summary.of_peak(outcome)) is not None]
        rates = [
            suite.rate(outcome.case, outcome.timings[OURS].median)
            for outcome in outcomes
            if OURS in outcome.timings
        ]
        if rates:
            said.append(f"Greatest to least: {summary.unevenness(rates):.2f} in {suite.unit}.")
        if fractions:
            said.append(f"Greatest to least: {summary.unevenness(fractions):.2f} in fractions of the peak.")
    for word in ("wrong", "untimed"):
        for outcome in outcomes:
            for name, reason in getattr(outcome, word).items():
                said.append(
                    f"[bold]{word}[/]: {_LABELS.get(name, name)} at {outcome.case.name}: {escape(reason)}"
                )
    return said


def show_left_out(
    console: Console, missing: Mapping[str, str], left_out: Mapping[tuple[str, str], str]
) -> None:
    """Print which libraries are not there, and which have nothing to compare in a suite."""
    for library, reason in missing.items():
        console.print(f"{library} is left out: {escape(reason)}")
    for (suite, library), reason in left_out.items():
        console.print(f"{library} is left out of {suite}: {escape(reason)}")


def show_end(console: Console, others: float, seconds: float) -> None:
    """Print what the columns mean, and whether the machine was left alone."""
    console.print(
        "Medians of interleaved samples, each library in a process of its own that is stopped while another "
        "works; results checked against float64. ratio: ours to the best peer (bold), above 1 is faster. "
        "spread: inter-quartile range of our samples. of peak: of the multiply-adds from registers.",
        style="dim",
    )
    console.print(f"{seconds:.0f} seconds.", style="dim")
    if others > BUSY:
        console.print(
            f"[bold]Others kept {others:.1f} CPUs busy meanwhile:[/] ratios say little. "
            "Measure again when the machine is quiet."
        )


def _last_columns(suite: Suite) -> list[tuple[str, Callable[[Outcome], str]]]:
    columns: list[tuple[str, Callable[[Outcome], str]]] = (
        [("ratio", lambda outcome: _number(summary.ratio(outcome), ".2f"))] if suite.peers else []
    )
    columns.append(("spread", lambda outcome: _number(summary.spread(outcome), ".0%")))
    if suite.unit == "GFLOP/s":
        columns.append(("of peak", lambda outcome: _number(summary.of_peak(outcome), ".0%")))
    if suite.operation == "relu":
        columns.append(("copy", lambda outcome: _rate(suite, outcome, summary.copy_seconds(outcome))))
        columns.append(("of copy", lambda outcome: _number(summary.of_copy(outcome), ".0%")))
    return columns


def _cell(suite: Suite, outcome: Outcome, name: str) -> str:
    if name in outcome.wrong:
        return "wrong"
    timing = outcome.timings.get(name)
    text = _rate(suite, outcome, None if timing is None else timing.median)
    return f"[bold]{text}[/]" if name == summary.best_peer(outcome) else text


def _rate(suite: Suite, outcome: Outcome, seconds: float | None) -> str:
    if seconds is None:
        return "-"
    rate = suite.rate(outcome.case, seconds)
    return f"{rate:,.0f}" if rate >= 1000 else f"{rate:.1f}" if rate >= 0.1 else f"{rate:.2g}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
