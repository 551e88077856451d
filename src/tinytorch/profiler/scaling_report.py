"""What `tito gpu scaling` shows: a training step on one count of GPUs, and speed and efficiency on others."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from tinytorch.figures import scaling_gpus
from tinytorch.figures.data import Table
from tinytorch.figures.drawn import Figure
from tinytorch.figures.page import Block, page
from tinytorch.figures.scaling_gpus import ScalingGpusData, times
from tinytorch.measure.report import new_table
from tinytorch.runtime import units

HEADERS = ("GPUs", "speed, strong", "efficiency, strong", "speed, weak", "efficiency, weak")


def show(console: Console, found: dict[str, Any]) -> None:
    """Print how a step scales: what `analyze_multi_gpu_scaling` returns."""
    facts = RichTable(title=escape(title(found)), show_header=False, title_justify="left", box=None)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in fact_rows(found):
        facts.add_row(name, escape(value))
    console.print(facts)
    table = new_table("Modelled speed against one GPU, and speed by the number of GPUs")
    for name in HEADERS:
        table.add_column(name, justify="right")
    for row in curve_rows(found):
        table.add_row(*row)
    console.print(table)
    for advice in found["recommendations"]:
        console.print(f"- {escape(advice)}", highlight=False)
    for what, how in provenance_rows(found):
        console.print(f"[dim]{escape(what)}: {escape(how)}[/]", highlight=False)


def title(found: dict[str, Any]) -> str:
    """Return what was modelled in words."""
    return f"A training step on {found['num_gpus']:,} x {found['device']}"


def fact_rows(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the step on the count of GPUs that was asked for, a line each."""
    return (
        ("does", f"{units.quantity(found['flops'], 'FLOP')} in {found['dtype']}"),
        ("adds up", f"{units.quantity(found['data_size'], 'B')} of gradients"),
        (
            "takes",
            f"{units.quantity(found['step_seconds'], 's')}; computing alone "
            f"{units.quantity(found['compute_seconds'], 's')}, communication alone "
            f"{units.quantity(found['communication_seconds'], 's')}; "
            f"{units.share(found['communication_overhead'])} of the step waits for communication",
        ),
        (
            "speed",
            f"{times(found['compute_scaling'])} times one GPU's, {found['mode']} scaling: efficiency "
            f"{units.share(found['scaling_efficiency'])}",
        ),
        ("bound by", str(found["bottleneck_type"])),
    )


def curve_rows(found: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return speed and efficiency, a line for each count of GPUs."""
    return tuple(
        (
            f"{one['gpus']:,}",
            times(one["strong_speedup"]),
            units.share(one["strong_efficiency"]),
            times(one["weak_speedup"]),
            units.share(one["weak_efficiency"]),
        )
        for one in found["curve"]
    )


def provenance_rows(found: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return where the numbers are from, those of one origin together."""
    told: dict[str, list[str]] = {}
    for what, how in found["provenance"].items():
        told.setdefault(how, []).append(what)
    return tuple((", ".join(names), how) for how, names in told.items())


def figures(found: dict[str, Any]) -> tuple[Figure, ...]:
    """Return the figures of speed and of efficiency by GPUs, each with its table."""
    speedups = {
        f"{mode} scaling": tuple(one[f"{mode}_speedup"] for one in found["curve"])
        for mode in ("strong", "weak")
    }
    gpus = tuple(one["gpus"] for one in found["curve"])
    return scaling_gpus.figures(ScalingGpusData("Over GPUs", gpus, speedups))


def render(found: dict[str, Any]) -> str:
    """Return the page. Raises MissingExtraError."""
    blocks = [
        Block(
            "The step",
            table=Table(("what", "is"), fact_rows(found)),
            recommendations=tuple(found["recommendations"]),
        ),
        *(figure.block() for figure in figures(found)),
        Block("Where the numbers are from", table=Table(("number", "from"), provenance_rows(found))),
    ]
    return page(title(found), blocks)
