"""What `tito bench` shows: the machine, a table per ladder, the digits, with rich."""

from collections.abc import Iterable

from rich.console import Console

from tinytorch.bench.digits import Result
from tinytorch.bench.ladder import Ladder, Step
from tinytorch.measure.load import BUSY
from tinytorch.measure.report import new_table
from tinytorch.runtime import units

#: Names of roofs in a narrow column.
SHORT = {"compute": "peak", "l1": "L1", "l2": "L2", "l3": "L3", "memory": "mem"}


def show_ladder(console: Console, ladder: Ladder) -> None:
    """Print one operation's rungs, lowest first; where some are a learner's, those against their best."""
    table = new_table(f"{ladder.title}, float32")
    table.add_column("rung", min_width=21)
    mine = any(step.rung.mine for step in ladder.steps)
    before = "x earlier\nbest" if mine else "x bottom"
    for name in ("median", "spread", ladder.unit, before, "x NumPy", "of roof"):
        table.add_column(name, justify="right", min_width=6)
    for step in ladder.steps:
        median = step.measurement.median
        table.add_row(
            step.rung.name,
            units.quantity(median, "s"),
            f"{step.measurement.iqr / median:.0%}{'' if step.measurement.stable else ' *'}",
            _rate(step.rate / 1e9),
            _against_earlier(step) if mine else _times(step.against_bottom),
            _times(step.against_numpy),
            f"{_share(step.place.binding.share)} {SHORT[step.place.binding.name]}",
            style="bold" if step.rung.mine else None,
        )
    console.print(table)


def show_digits(console: Console, results: Iterable[Result]) -> None:
    """Print how each version of the network did."""
    results = list(results)
    title = f"Handwritten digits: a trained network on {results[0].images} held-out images"
    table = new_table(title)
    table.add_column("network", min_width=15)
    for name in ("accuracy", "images/s", "x NumPy", "one image", "weights"):
        table.add_column(name, justify="right", min_width=7)
    base = results[0].images_per_second
    for result in results:
        table.add_row(
            result.name,
            f"{result.accuracy:.2%}",
            f"{result.images_per_second:,.0f}",
            _times(result.images_per_second / base),
            units.quantity(result.single.median, "s"),
            f"{result.weight_bytes / 1000:.0f} KB",
        )
    console.print(table)


def show_remark(console: Console, line: str) -> None:
    """Print what there is to say of a learner's kernel."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_legend(console: Console, others: float, mine: bool = False) -> None:
    """Print what the columns mean, and whether the machine was left alone."""
    checked, also = (
        (
            "Every rung",
            "x earlier best: how yours stands to NumPy now, by how it did at its best here; a best "
            "counts where others left the machine alone and its ratio to NumPy was stable.",
        )
        if mine
        else ("Every rung, and the float32 network,", "what int8 costs the network is its accuracy.")
    )
    console.print(
        f"{checked} was checked against its reference before it was timed; {also} "
        "Median and spread (inter-quartile range) of interleaved "
        "samples; * marks one that is not stable: over 10%, or under five samples. "
        "GB/s counts the bytes that must move, GFLOP/s two operations a multiply-add. Of roof: of what all "
        "threads' multiply-adds (peak) or plain passes over as much memory (L1 to mem) reach beside it.",
        style="dim",
    )

    if others > BUSY:
        console.print(
            f"[bold]Others kept {others:.1f} CPUs busy meanwhile.[/] Threads that wait for each other suffer "
            "most: two threads of a BLAS can then be forty times slower than one, and ratios to it say "
            "little. Measure again when the machine is quiet."
        )


def _against_earlier(step: Step) -> str:
    if not step.rung.mine:
        return ""
    return "none yet" if step.against_earlier is None else _times(step.against_earlier)


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.005 else "<1%"


def _rate(value: float) -> str:
    return f"{value:.1f}" if value >= 0.1 else f"{value:.3g}"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"
