"""A recording beside the emulator's counts: which access costs another number of sectors or wavefronts.

The PTX's accesses and the SASS's are joined by source file, line and kind, and summed: the assembler may move
an access or repeat it, but by its line it stays the same. Global memory is compared by sectors, shared memory
by wavefronts, and both by the lanes that took part.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import opcode

#: Where each SASS opcode goes, and as what; a copy from global to shared memory is two accesses.
KINDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "LDG": (("global", "load"),),
    "STG": (("global", "store"),),
    "ATOMG": (("global", "atomic"),),
    "RED": (("global", "atomic"),),
    "REDG": (("global", "atomic"),),
    "LDS": (("shared", "load"),),
    "LDSM": (("shared", "load"),),
    "STS": (("shared", "store"),),
    "STSM": (("shared", "store"),),
    "ATOMS": (("shared", "atomic"),),
    "LDGSTS": (("global", "load"), ("shared", "store")),
}
#: Nsight Compute's counter of what an access to each memory costs, and our name of it.
_COST = {
    "global": ("sectors", "memory_l2_theoretical_sectors_global"),
    "shared": ("wavefronts", "memory_l1_wavefronts_shared"),
}


@dataclass(frozen=True, order=True)
class Place:
    """An access in the source: `space` is "global" or "shared", `kind` "load", "store" or "atomic"."""

    file: str
    line: int
    space: str
    kind: str

    def __str__(self) -> str:
        """Tell it in words: "global load at load.cu:14"."""
        return f"{self.space} {self.kind} at {self.file}:{self.line}"


@dataclass(frozen=True)
class Difference:
    """One number that hardware and emulator do not share."""

    place: Place
    what: str  # "sectors", "wavefronts" or "lanes"
    hardware: int
    emulated: int


def recorded(instructions: Sequence[Sequence[Any]], counters: Mapping[str, Sequence[int]]) -> dict[Any, int]:
    """Return what a launch's accesses cost on the GPU, by place and by what is counted.

    >>> told = recorded([[0, "LDG.E R1", "k.cu", 3]], {"memory_l2_theoretical_sectors_global": [4]})
    >>> told[Place("k.cu", 3, "global", "load"), "sectors"]
    4
    """
    counts: dict[Any, int] = {}
    for i, (_, sass, file, line) in enumerate(instructions):
        for space, kind in KINDS.get(opcode(sass), ()):
            place = Place(file, line, space, kind)
            what, counter = _COST[space]
            for name, values in (
                (what, counters.get(counter)),
                ("lanes", counters.get("thread_inst_executed_true")),
            ):
                if values is not None:
                    counts[place, name] = counts.get((place, name), 0) + values[i]
    return counts


def emulated(accesses: Iterable[Any]) -> dict[Any, int]:
    """Return the same of the emulator's accesses. An access without a source line is left out."""
    counts: dict[Any, int] = {}
    for access in accesses:
        source = access.instruction.source
        if source is None or access.space not in _COST:
            continue
        place = Place(Path(source.file).name, source.line, access.space, access.kind)
        cost = access.sectors if access.space == "global" else access.wavefronts
        for name, value in ((_COST[access.space][0], cost), ("lanes", access.lanes)):
            counts[place, name] = counts.get((place, name), 0) + int(value)
    return counts


def differences(hardware: Mapping[Any, int], ours: Mapping[Any, int]) -> list[Difference]:
    """Return where the two differ; an access that only one of them has counts as zero in the other.

    >>> place = Place("k.cu", 3, "global", "load")
    >>> [one.emulated for one in differences({(place, "sectors"): 4}, {(place, "sectors"): 8})]
    [8]
    """
    found = []
    for place, what in sorted({*hardware, *ours}):
        pair = hardware.get((place, what), 0), ours.get((place, what), 0)
        if pair[0] != pair[1]:
            found.append(Difference(place, what, *pair))
    return found
