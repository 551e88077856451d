"""What is counted while a kernel runs: instructions, lanes, and for each access to memory its requests."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytorch.gpu.models import banks, coalescing
from tinytorch.gpu.ptx.program import Instruction

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Request:
    """One request of one warp, lane by lane: the address of each lane that took part, else None."""

    block: int  # its number in the grid, x fastest
    warp: int  # in the block
    addresses: tuple[int | None, ...]
    cost: int  # its sectors, or wavefronts in shared memory


@dataclass
class Access:
    """The totals of one instruction that goes to memory; a request is one warp's, if a lane takes part."""

    instruction: Instruction
    index: int  # of the instruction in the kernel
    space: str  # "global", "shared", "local", "const"
    kind: str  # "load", "store", "atomic"; by no lane "bulk load", "bulk store", "fragment load", …
    width: int  # bytes a lane; of a fragment those of a piece
    requests: int = 0
    lanes: int = 0
    sectors: int = 0
    ideal_sectors: int = 0
    wavefronts: int = 0
    ideal_wavefronts: int = 0
    arrays: Counter[str] = field(default_factory=Counter)  # requests to each array
    worst: Request | None = None

    @property
    def bytes(self) -> int:
        """Bytes that lanes asked for."""
        return self.lanes * self.width


@dataclass
class Branch:
    """How often warps came to a branch, and how often their lanes parted there."""

    instruction: Instruction
    index: int
    executed: int = 0
    divergent: int = 0


@dataclass
class Matrix:
    """What an instruction of the tensor cores multiplied and added, over all warps."""

    instruction: Instruction
    index: int
    flops: int = 0


class Counters:
    """The totals of a run, and of each block for telling whether blocks agree."""

    def __init__(self, instructions: int) -> None:
        self.warps = np.zeros(instructions, np.int64)  # that executed each instruction
        self.active = np.zeros(instructions, np.int64)  # lanes of those warps that were active
        self.on = np.zeros(instructions, np.int64)  # and whose guard held
        self.branches: dict[int, Branch] = {}
        self.accesses: dict[tuple[int, str, str], Access] = {}
        self.matrices: dict[int, Matrix] = {}

    @property
    def executed(self) -> int:
        """Warp instructions in all."""
        return int(self.warps.sum())

    def matrix(self, instruction: Instruction, index: int, flops: int) -> None:
        """Count multiplications and additions of the tensor cores."""
        self.matrices.setdefault(index, Matrix(instruction, index)).flops += flops

    def access(self, instruction: Instruction, index: int, space: str, kind: str, width: int) -> Access:
        """Return the totals of an access, begun if need be."""
        key = (index, space, kind)
        if key not in self.accesses:
            self.accesses[key] = Access(instruction, index, space, kind, width)
        return self.accesses[key]


def count_global(access: Access, addresses: Array, active: Array) -> Array:
    """Count requests to global memory; returns the sectors of each warp's, 0 for one that made none."""
    sectors = coalescing.sectors(addresses, active, access.width)
    count_requests(access, active)
    access.sectors += int(sectors.sum())
    access.ideal_sectors += int(coalescing.ideal_sectors(active, access.width).sum())
    return sectors


def count_shared(access: Access, addresses: Array, active: Array) -> Array:
    """Count requests to shared memory; returns the wavefronts of each warp's, 0 for one that made none."""
    wavefronts = banks.wavefronts(addresses, active, access.width)
    count_requests(access, active)
    access.wavefronts += int(wavefronts.sum())
    access.ideal_wavefronts += int(banks.ideal_wavefronts(active, access.width).sum())
    return wavefronts


def count_requests(access: Access, active: Array) -> None:
    """Count requests, one of each warp with an active lane, and those lanes."""
    access.requests += int(np.count_nonzero(active.any(axis=1)))
    access.lanes += int(np.count_nonzero(active))
