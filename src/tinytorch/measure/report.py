"""What `tito machine` shows: what this computer is, and what it can do as far as that was measured."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tinytorch.machine.caches import INSTRUCTION
from tinytorch.machine.info import Machine
from tinytorch.measure.counting import hardware
from tinytorch.measure.limits import Limits
from tinytorch.measure.probe import Reading
from tinytorch.measure.roofline import SHOWN
from tinytorch.runtime import units
from tinytorch.runtime.arrays import INT8
from tinytorch.simd.target import chosen

#: Sizes at which the latency is told: one in each cache, and memory.
_TOLD = (16 << 10, 512 << 10, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30)


def show_machine(console: Console, machine: Machine, threads: int) -> None:
    """Print what this computer is."""
    table = Table(
        title="This machine", show_header=False, title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in machine_rows(machine, threads):
        table.add_row(name, escape(text))  # what a system calls itself may hold brackets
    console.print(table)


def machine_rows(machine: Machine, threads: int) -> tuple[tuple[str, str], ...]:
    """Return what a computer is, a line each."""
    return (
        ("CPU", f"{machine.cpu or 'unknown'} ({machine.microarchitecture or machine.architecture})"),
        (
            "instruction sets",
            f"{' '.join(machine.instruction_sets) or 'unknown'}; kernels are made for {chosen().name}",
        ),
        ("CPUs", f"{_cpus(machine)}; kernels use {threads}"),
        ("clock", _clock(machine)),
        ("caches", _caches(machine)),
        ("memory", _memory(machine)),
        ("virtualization", _virtualization(machine)),
        ("counters", hardware.available() or "may be read"),
        ("BLAS of NumPy", "; ".join(machine.blas) or "unknown"),
        ("OpenMP", "; ".join(machine.openmp) or "none loaded"),
        ("GPU", _gpus(machine)),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
    )


def _cpus(machine: Machine) -> str:
    everywhere = "" if machine.cores is None else f" on {_count(machine.cores, 'core')}"
    if machine.sockets is not None:
        everywhere += f" in {_count(machine.sockets, 'socket')}"
    # A quota is of time, on any of the cores.
    if machine.cpu_quota is not None:
        here = f" within a quota of {machine.cpu_quota:g}"
    else:
        here = "" if machine.usable_cores is None else f" on {_count(machine.usable_cores, 'core')}"
    return f"{machine.cpus}{everywhere}; {machine.usable_cpus} usable here{here}"


def _clock(machine: Machine) -> str:
    low, high = machine.min_mhz, machine.max_mhz
    if high is None:
        limits = "limits unknown"
    else:
        limits = f"up to {high:.0f} MHz" if low is None else f"{low:.0f} to {high:.0f} MHz"
    return f"{limits}, governor {machine.governor or 'unknown'}"


def _caches(machine: Machine) -> str:
    shared = {f"l{c.level}": c.shared_by or 1 for c in machine.cache_details if c.kind != INSTRUCTION}
    parts = []
    for name, size in machine.caches.items():
        by = f" shared by {shared[name]}" if shared.get(name, 1) > 1 else ""
        parts.append(f"{name.upper()} {_size(size)}{by}")
    return ", ".join(parts)


def _memory(machine: Machine) -> str:
    whole = "unknown" if machine.memory is None else f"{machine.memory / 2**30:.1f} GiB"
    limit = "" if machine.memory_limit is None else f", limited to {machine.memory_limit / 2**30:.1f} GiB"
    nodes = "" if machine.numa is None else f", {_count(len(machine.numa), 'NUMA node')}"
    return whole + limit + nodes


def _virtualization(machine: Machine) -> str:
    inside = "" if machine.container is None else f", in a container ({machine.container})"
    return (machine.virtualization or "unknown") + inside


def _gpus(machine: Machine) -> str:
    if machine.gpus is None:
        found = "unknown: NVIDIA's driver is here; tinytorch-kernels[gpu] brings what asks it"
    else:
        found = "; ".join(map(str, machine.gpus)) or "none of NVIDIA"
    noticed = [name for name, there in (("ROCm", machine.rocm), ("OpenCL", machine.opencl)) if there]
    return "; ".join([found, *(f"{name} is installed" for name in noticed)])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _size(size: int | None) -> str:
    if size is None:
        return "unknown"
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def new_table(title: str) -> Table:
    """Return a table without columns yet, as all of ours look: narrow, for 80 columns."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def print_whole(console: Console, table: Table) -> None:
    """Print a table with all that stands in it: where a terminal is narrower, lines go on in the next."""
    width = console.width
    console.width = max(width, console.measure(table, options=console.options.update_width(1000)).minimum)
    try:
        console.print(table)
    finally:
        console.width = width


def show_limits(console: Console, limits: Limits) -> None:
    """Print what was measured: peaks, bandwidths, latencies, where caches end, what it costs to begin."""
    counts = limits.counts()
    console.print(_peaks(limits, counts))
    console.print(_bandwidths(limits, counts))
    console.print(_latencies(limits))
    ends = ", ".join(f"{SHOWN[name]} at {units.size(end)}" for name, end in limits.cache_ends.items())
    console.print(f"By that curve caches end: {ends}.")
    costs = ", ".join(f"{name} {units.quantity(cost.value, 's')}" for name, cost in limits.overheads.items())
    console.print(f"To begin: {costs}. The clock ran at {limits.clock_hertz / 1e9:.2f} GHz.")
    console.print(
        f"[dim]Measured {limits.time}{' in a hurry, for a first profile' if limits.quick else ''}. Medians; "
        "* marks what is not stable: repeats disagree by more than a tenth.[/]"
    )


def _peaks(limits: Limits, counts: tuple[int, ...]) -> Table:
    table = new_table("Peak of multiply-adds from registers")
    table.add_column("dtype")
    for count in counts:
        table.add_column(_threads(count), justify="right")
    table.add_column("by")
    for dtype, by in limits.peaks.items():
        unit = "OP/s" if dtype == str(INT8) else "FLOP/s"
        cells = (_cell(by[count], unit) for count in counts)
        table.add_row(dtype, *cells, limits.units[dtype])
    return table


def _bandwidths(limits: Limits, counts: tuple[int, ...]) -> Table:
    table = new_table("Bandwidth, GB/s")
    table.add_column("level")
    table.add_column("threads", justify="right")
    for name in next(iter(limits.bandwidths.values())):
        table.add_column(name, justify="right")
    for level, by in limits.bandwidths.items():
        for count in counts:
            rates = (by_count.get(count) for by_count in by.values())
            cells = (f"{rate.value / 1e9:.1f}{'' if rate.stable else ' *'}" if rate else "" for rate in rates)
            table.add_row(SHOWN[level] if count == 1 else "", str(count), *cells)
    return table


def _latencies(limits: Limits) -> Table:
    table = new_table("Latency of a load that waits for the one before")
    table.add_column("within")
    for count in limits.latencies:
        table.add_column(_threads(count), justify="right")
    table.add_column("cycles", justify="right")
    for size in _TOLD:
        at = {n: next((p for p in curve if p.bytes >= size), None) for n, curve in limits.latencies.items()}
        if at[1] is not None:
            times = ["" if point is None else units.quantity(point.seconds, "s") for point in at.values()]
            table.add_row(units.size(size), *times, f"{at[1].cycles:.0f}")
    return table


def _cell(reading: Reading, unit: str) -> str:
    return units.quantity(reading.value, unit) + ("" if reading.stable else " *")


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"
