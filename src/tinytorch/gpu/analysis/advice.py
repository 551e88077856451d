"""What to change in a kernel, worst first; each recommendation names the number that it follows from.

To be ordered, what is lost is put into clocks of an SM: 2 for a sector (what memory gives an SM in a clock is
about half of one), 1 for a wavefront, 1/4 for an instruction of a warp (an SM starts four a clock). These are
for the order alone and are told to nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tinytorch.gpu.analysis.result import (
    AccessFigures,
    LineFigures,
    MachineCode,
    OccupancyFigures,
    TensorCores,
    Totals,
)
from tinytorch.gpu.launch import Argument, behind

_SECTOR, _WAVEFRONT, _INSTRUCTION = 2.0, 1.0, 0.25
#: Cost by ideal from which an access is worth a word.
_TELLS = 1.1
#: Lanes of 32 that are active on average, below which idle ones are worth a word.
_BUSY = 29
#: Occupancy below which it is: half is mostly enough to hide latencies.
_OCCUPANCY = 0.5
#: Share of useful slots below which waves are.
_WAVES = 0.8
_WIDEST = 16  # bytes of one access of a lane
_ALL_REGISTERS = 250  # of 255 that a thread can have: the compiler leaves some unused
_FEWER_VALUES = "use a smaller tile, or more threads a block for the same one"
_MORE_REGISTERS = (
    "that is what blocks of this size or the launch bounds leave of 255: use smaller blocks, looser bounds, "
    "or a smaller tile"
)
_BY_COMPILER = "the compiler lays it out: another tile, dtype or num_warps gives another layout"
#: Why what no lane goes to by itself is scattered.
_WITHIN_SECTORS = {
    "bulk": "rows of its box begin or end within a sector: make them whole multiples of 32 bytes",
    "fragment": "lines of its fragment begin or end within a sector: begin them at multiples of 32 bytes, "
    "and take a layout in which they are that long",
}


@dataclass(frozen=True)
class Recommendation:
    """What to change, and what it costs to leave it, in clocks of an SM."""

    lost: float
    text: str


@dataclass(frozen=True)
class Evidence:
    """What advice is drawn from; None for what is not known."""

    frontend: str
    arguments: Sequence[Argument]
    lines: Sequence[LineFigures]
    totals: Totals | None
    machine_code: MachineCode | None
    occupancy: OccupancyFigures | None
    tensor_cores: TensorCores

    def arrays(self, names: Sequence[str]) -> list[tuple[str, np.ndarray[Any, Any]]]:
        """Return the arrays of the names."""
        return [
            (a.name, a.value) for a in self.arguments if a.name in names and isinstance(a.value, np.ndarray)
        ]


def recommend(found: Evidence) -> tuple[str, ...]:
    """Return what to change, worst first; nothing where nothing was found."""
    rules = (_tensor_cores, _spills, _sectors, _wavefronts, _lanes, _occupancy, _waves)
    every = [one for rule in rules for one in rule(found)]
    return tuple(one.text for one in sorted(every, key=lambda one: one.lost, reverse=True))


def _tensor_cores(found: Evidence) -> Iterator[Recommendation]:
    why = found.tensor_cores.falls_off
    if why is None:
        return
    at = ", ".join(str(line) for line in found.tensor_cores.asked_at)
    spilled = found.machine_code.spilled if found.machine_code else 0
    beside = f" It spills {spilled:,} bytes a thread, too." if spilled else ""
    yield Recommendation(
        float("inf"),
        f"the product at line {at} {why}: {found.tensor_cores.remedy}.{beside}",
    )


def _spills(found: Evidence) -> Iterator[Recommendation]:
    code = found.machine_code
    if code is None or not code.spilled:
        return
    moves = code.local_loads + code.local_stores
    executed = found.totals.warp_instructions if found.totals else code.instructions
    yield Recommendation(
        4 * _SECTOR * executed * moves / code.instructions,
        f"{code.spilled:,} bytes a thread did not fit in {code.registers} registers: {code.local_loads} "
        f"loads and {code.local_stores} stores of {code.instructions:,} instructions go to local memory: "
        f"{_FEWER_VALUES if code.registers >= _ALL_REGISTERS else _MORE_REGISTERS}",
    )


def _sectors(found: Evidence) -> Iterator[Recommendation]:
    for line in found.lines:
        for access in line.accesses:
            if access.space == "global" and access.sectors > _TELLS * access.ideal_sectors:
                yield Recommendation(
                    _SECTOR * (access.sectors - access.ideal_sectors),
                    f"{_what(access, line)}: {_why_scattered(access, found)}",
                )


def _what(access: AccessFigures, line: LineFigures) -> str:
    name = " and ".join(access.arrays) or f"{access.space} memory"
    done = {"load": "read", "store": "written", "atomic": "changed"}[access.kind.split()[-1]]
    each = "copy" if access.kind.startswith("bulk") else "request"
    return (
        f"line {line.line}: {name} is {done} with {access.cost / access.requests:.3g} {access.unit} a "
        f"{each} where {access.ideal / access.requests:.3g} would do"
    )


def _why_scattered(access: AccessFigures, found: Evidence) -> str:
    width = access.bits // 8
    if (by_no_lane := access.kind.split()[0]) in _WITHIN_SECTORS:
        return _WITHIN_SECTORS[by_no_lane]
    if _idle_between(access):
        return "lanes go to neighbouring places, and those in between are idle: see where lanes part"
    if access.side_by_side > 1 and width < _WIDEST:
        return f"each lane goes to {access.side_by_side} neighbours, {access.bits} bits at a time" + (
            _why_narrow(access, found)
        )
    item = max((array.itemsize for _, array in found.arrays(access.arrays)), default=width)
    whose, gap = "the places that a warp goes to", access.gap or 0
    if gap <= width:  # rows of two lanes or more in one warp: their gaps are mixed, steps along lanes are not
        whose, gap = "neighbouring lanes", _step(access)
    if gap > width:
        apart = f"{gap / item:g} elements" if gap % item == 0 else f"{gap} bytes"
        return (
            f"{whose} lie {apart} apart: let neighbouring lanes take neighbouring elements, or bring a tile "
            "into shared memory first"
        )
    if access.gap == width and (begins := _behind_a_sector(access)):
        return _why_behind(access, begins, item)
    return f"lanes go to {_pieces(access)} places that lie apart: let a warp take what lies together"


def _why_behind(access: AccessFigures, begins: int, item: int) -> str:
    if access.instructions > 1:  # as the neighbours of a stencil
        return (
            f"of its {access.instructions} accesses some begin {begins} bytes behind a multiple of 32; "
            "where they read the same places, a tile in shared memory would read each once"
        )
    return (
        f"warps begin {begins} bytes behind a multiple of 32: begin rows at multiples of "
        f"{32 // item if item <= 32 else 1} elements"
    )


def _behind_a_sector(access: AccessFigures) -> int:
    """Return how many bytes behind a sector's begin the worst request begins."""
    there = [address for address in access.worst.addresses if address is not None] if access.worst else []
    return min(there, default=0) % 32


def _step(access: AccessFigures) -> int:
    """Return the bytes between neighbouring lanes of the worst request, if mostly the same; else 0."""
    steps = [abs(there) for lanes, there in _steps(access) if lanes == 1]
    often = max(set(steps), key=steps.count, default=0)
    return often if steps.count(often) >= 0.75 * len(steps) else 0


def _steps(access: AccessFigures) -> list[tuple[int, int]]:
    """Return lanes and bytes between each active lane of the worst request and the next."""
    addresses = access.worst.addresses if access.worst else ()
    active = [(lane, address) for lane, address in enumerate(addresses) if address is not None]
    return [(lane - before, there - here) for (before, here), (lane, there) in pairwise(active)]


def _idle_between(access: AccessFigures) -> bool:
    """Say whether a request is scattered only because lanes between those that make it are idle."""
    width, steps = access.bits // 8, _steps(access)
    return any(lanes > 1 for lanes, _ in steps) and all(there == width * lanes for lanes, there in steps)


def _pieces(access: AccessFigures) -> int:
    """Return into how many stretches of memory the worst request falls."""
    addresses = access.worst.addresses if access.worst else ()
    places = sorted({address for address in addresses if address is not None})
    return 1 + sum(b - a > access.bits // 8 for a, b in pairwise(places))


def _why_narrow(access: AccessFigures, found: Evidence) -> str:
    width, steps = access.bits // 8, _steps(access)
    apart = min((abs(there) // lanes for lanes, there in steps), default=0)
    taken = access.side_by_side * width
    wider = max((wide for wide in (2, 4, 8, 16) if wide <= taken and apart % wide == 0), default=0)
    if wider <= width:  # as in an array of structures of three floats
        return (
            f", and lanes lie {apart} bytes apart, which no wider access fits: keep what neighbouring lanes "
            "take side by side, in an array for each neighbour, or pad to a power of two"
        )
    would = f": one access of {8 * wider} bits would do for {wider // width} of them"
    begins = [
        f"{name} begins {behind(a) % wider}" for name, a in found.arrays(access.arrays) if behind(a) % wider
    ]
    if begins:
        return f"{would} if it were aligned, but {' and '.join(begins)} bytes behind a multiple of {wider}"
    if found.frontend != "Triton":
        return would
    odd = [
        f"{one.name} = {one.value}"
        for one in found.arguments
        if isinstance(one.value, np.integer) and one.value % 16
    ]
    if not odd:
        return f"{would}; see that Triton can know it (tl.multiple_of, tl.max_contiguous)"
    odd_are = f"{' and '.join(odd)} {'are' if len(odd) > 1 else 'is'}"
    return f"{would}; Triton may not know it, as {odd_are} not divisible by 16: pad to a multiple"


def _wavefronts(found: Evidence) -> Iterator[Recommendation]:
    by_compiler = found.frontend == "Triton"
    for line in found.lines:
        for access in line.accesses:
            if access.space == "shared" and access.wavefronts > _TELLS * access.ideal_wavefronts:
                yield Recommendation(
                    _WAVEFRONT * (access.wavefronts - access.ideal_wavefronts),
                    f"{_what(access, line)}: {_BY_COMPILER if by_compiler else _why_in_one_bank(access)}",
                )


def _why_in_one_bank(access: AccessFigures) -> str:
    if access.gap is None or access.gap <= max(access.bits // 8, 4) or access.gap % 8:
        return "lanes meet in the same banks: let those of a request go to different ones"
    words, pad = access.gap // 4, max(1, access.bits // 32)
    all_in = "all in the same bank" if words % 32 == 0 else "so that some share a bank"
    return (
        f"lanes go to places {words} words apart, {all_in} of 32: make each row longer by "
        f"{pad} word{'s' * (pad > 1)}"
    )


def _lanes(found: Evidence) -> Iterator[Recommendation]:
    totals = found.totals
    if totals is None or totals.active_threads >= _BUSY:
        return
    lost = {line: line.warp_instructions * (1 - line.active_threads / 32) for line in found.lines}
    idle = [line for line in found.lines if line.active_threads < _BUSY and line.line]
    most = sorted(idle, key=lambda line: -lost[line])
    where = ", ".join(f"{line.line} ({line.active_threads:.3g})" for line in most[:3])
    parted = [line for line in found.lines if line.divergent_branches]
    if parted:
        worst = max(parted, key=lambda line: line.divergent_branches)
        why = (
            f"lanes part at {worst.divergent_branches:,} of {worst.branches:,} branches of line "
            f"{worst.line}: let the lanes of a warp agree (sort the work, or branch on the warp), or make "
            "the sides short enough to be selected instead"
        )
    else:
        why = "no branch parts them, so warps are not full: make a block a multiple of 32 threads"
    yield Recommendation(
        _INSTRUCTION * sum(lost.values()),
        f"{totals.active_threads:.3g} of 32 lanes are active on average, least at line {where}: {why}",
    )


def _occupancy(found: Evidence) -> Iterator[Recommendation]:
    held = found.occupancy
    if held is None or held.share >= _OCCUPANCY:
        return
    executed = found.totals.warp_instructions if found.totals else 0
    if not held.blocks_per_sm:
        needed = ", ".join(f"at most {most:,} {name}" for name, most in held.to_gain_a_block.items())
        why = needed or "too much of it is used"
        yield Recommendation(
            float("inf"), f"a block does not fit in an SM at all, by its {' and '.join(held.limiters)}: {why}"
        )
        return
    needed = " and ".join(f"at most {most:,} {name}" for name, most in held.to_gain_a_block.items())
    how = f"one more block needs {needed}" if needed else "larger blocks would fill it"
    yield Recommendation(
        0.1 * _INSTRUCTION * executed * (1 - held.share),
        f"occupancy is {100 * held.share:.3g}% ({held.warps_per_sm} warps of an SM), limited by "
        f"{' and '.join(held.limiters)}: {how}; it matters where warps wait for memory",
    )


def _waves(found: Evidence) -> Iterator[Recommendation]:
    waves = found.occupancy.waves if found.occupancy else None
    if waves is None or waves.efficiency >= _WAVES:
        return
    executed = found.totals.warp_instructions if found.totals else 0
    if waves.waves == 1:
        yield Recommendation(
            0.0,
            f"the grid has {waves.last_wave:,} block{'s' * (waves.last_wave != 1)}, and {waves.product} runs "
            f"{waves.slots:,} at once: give it more to do at a time",
        )
        return
    blocks = (waves.waves - 1) * waves.slots + waves.last_wave
    yield Recommendation(
        _INSTRUCTION * executed * (1 - waves.efficiency),
        f"{blocks:,} blocks are {waves.waves} waves of {waves.slots:,} on "
        f"{waves.product}, and the last has {waves.last_wave:,}: {waves.efficiency:.0%} of the slots are of "
        "use: choose blocks so that waves are full, or more of them",
    )
