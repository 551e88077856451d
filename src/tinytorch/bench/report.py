"""What `tito bench` shows: the machine, a table per ladder, the digits, with rich."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tinytorch.bench.digits import Result
from tinytorch.bench.ladder import Ladder
from tinytorch.machine.info import Machine
from tinytorch.simd.target import chosen

#: CPUs that others may use on average before a reader is told of it.
BUSY = 0.15


def show_machine(console: Console, machine: Machine, threads: int) -> None:
    """Print what this computer is."""
    table = Table(
        title="This machine", show_header=False, title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    quota = "" if machine.cpu_quota is None else f", quota {machine.cpu_quota:g}"
    limit = "" if machine.memory_limit is None else f", limited to {machine.memory_limit / 2**30:.1f} GiB"
    gpus = (
        "unknown: install tinytorch-kernels[gpu]"
        if machine.gpus is None
        else "; ".join(machine.gpus) or "none"
    )
    rows = (
        ("CPU", f"{machine.cpu or 'unknown'} ({machine.microarchitecture or machine.architecture})"),
        (
            "instruction sets",
            f"{' '.join(machine.instruction_sets) or 'unknown'}; kernels are made for {chosen().name}",
        ),
        ("CPUs", f"{machine.cpus}, {machine.usable_cpus} usable here{quota}; kernels use {threads}"),
        ("caches", ", ".join(f"{name.upper()} {_size(size)}" for name, size in machine.caches.items())),
        ("memory", f"{machine.memory / 2**30:.1f} GiB{limit}"),
        ("BLAS of NumPy", "; ".join(machine.blas) or "unknown"),
        ("GPU", gpus),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _size(size: int | None) -> str:
    if size is None:
        return "unknown"
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def show_ladder(console: Console, ladder: Ladder) -> None:
    """Print one operation's rungs, lowest first."""
    table = Table(title=f"{ladder.title}, float32", title_justify="left")
    table.add_column("rung", min_width=21)
    for name in ("median", "spread", ladder.unit, "x bottom", "x NumPy"):
        table.add_column(name, justify="right", min_width=7)
    for step in ladder.steps:
        median = step.measurement.median
        table.add_row(
            step.rung.name,
            _time(median),
            f"{step.measurement.iqr / median:.0%}{'' if step.measurement.stable else ' *'}",
            _rate(step.rate / 1e9),
            _times(step.against_bottom),
            _times(step.against_numpy),
        )
    console.print(table)


def show_digits(console: Console, results: Iterable[Result]) -> None:
    """Print how each version of the network did."""
    results = list(results)
    title = f"Handwritten digits: a trained network on {results[0].images} held-out images"
    table = Table(title=title, title_justify="left")
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
            _time(result.single.median),
            f"{result.weight_bytes / 1000:.0f} KB",
        )
    console.print(table)


def show_legend(console: Console, others: float) -> None:
    """Print what the columns mean, and whether the machine was left alone."""
    console.print(
        "Every rung, and the float32 network, was checked against its reference before it was timed; what "
        "int8 costs the network is its accuracy. Median and spread (inter-quartile range) of interleaved "
        "samples; * marks one that is not stable: over 10%, or under five samples. "
        "GB/s counts the bytes that must move, GFLOP/s two operations a multiply-add.",
        style="dim",
    )

    if others > BUSY:
        console.print(
            f"[bold]Others kept {others:.1f} CPUs busy meanwhile.[/] Threads that wait for each other suffer "
            "most: two threads of a BLAS can then be forty times slower than one, and ratios to it say "
            "little. Measure again when the machine is quiet."
        )


def _time(seconds: float) -> str:
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= 0.9995 * scale:  # three digits of anything less do not round up to the next unit
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _rate(value: float) -> str:
    return f"{value:.1f}" if value >= 0.1 else f"{value:.3g}"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"
