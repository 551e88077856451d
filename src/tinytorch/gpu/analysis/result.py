"""What an analysis of a kernel tells: plain numbers, each of a known origin, that print and JSON are made of.

Counts are of the blocks that ran; `scale` says by what to multiply them for the whole grid, if that is known.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

#: Changes when a key of `Analysis.as_dict` gets another meaning.
SCHEMA = 1

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class WorstRequest:
    """The request of one warp that cost most: the byte address of each lane that took part, else None."""

    block: int  # its number in the grid, x fastest
    warp: int  # in the block
    cost: int  # sectors, or wavefronts in shared memory
    addresses: tuple[int | None, ...]


@dataclass(frozen=True)
class AccessFigures:
    """What the accesses of one kind on one line cost, all their requests together."""

    arrays: tuple[str, ...]  # the arguments that were gone to, most often first
    kind: str  # "load", "store", "atomic"; by no lane "bulk load", "fragment load", … of boxes and of wmma
    space: str  # "global", "shared", "local", "const"
    bits: int  # a lane; of a bulk copy an element, of a fragment what moves as one
    instructions: int  # of the PTX
    requests: int  # of a warp each, or copies, or fragments
    lanes: int
    sectors: int
    ideal_sectors: int
    wavefronts: int
    ideal_wavefronts: int
    side_by_side: int  # neighbours that one lane goes to, one after the other
    gap: int | None  # bytes between neighbouring places of a warp (shared: of `worst`), if mostly the same
    worst: WorstRequest | None

    @property
    def cost(self) -> int:
        """Wavefronts in shared memory, sectors elsewhere."""
        return self.wavefronts if self.space == "shared" else self.sectors

    @property
    def ideal(self) -> int:
        """What the cost would be if lanes went to neighbouring places in different banks; at most the cost.

        Lanes that go to the same place can cost less.
        """
        ideal = self.ideal_wavefronts if self.space == "shared" else self.ideal_sectors
        return min(ideal, self.cost)

    @property
    def unit(self) -> str:
        """What the cost is counted in."""
        return "wavefronts" if self.space == "shared" else "sectors"

    @property
    def cost_known(self) -> bool:
        """Whether the cost is known: which lane takes which element of a fragment is nowhere specified."""
        return not (self.space == "shared" and self.kind.startswith("fragment"))


@dataclass(frozen=True)
class LineFigures:
    """What one line of the source did."""

    file: str
    line: int
    text: str
    warp_instructions: int
    active_threads: float  # lanes of an executed instruction, on average
    predicated_on_threads: float  # and whose guard held
    branches: int  # times that warps came to a branch
    divergent_branches: int  # of them, those where lanes parted
    matrix_operations: int  # of instructions of the tensor cores
    accesses: tuple[AccessFigures, ...]


@dataclass(frozen=True)
class Traffic:
    """The requests to one kind of memory, and what they cost against the ideal."""

    requests: int = 0
    cost: int = 0  # sectors of 32 bytes, or wavefronts in shared memory
    ideal: int = 0  # of each instruction at most its cost: lanes that go to the same place can cost less

    @property
    def efficiency(self) -> float | None:
        """The ideal by the cost; None without a request."""
        return self.ideal / self.cost if self.cost else None


@dataclass(frozen=True)
class Totals:
    """What the blocks that ran did."""

    warp_instructions: int
    active_threads: float
    predicated_on_threads: float
    branches: int
    divergent_branches: int
    global_loads: Traffic
    global_stores: Traffic  # atomics, too
    bulk_loads: Traffic  # copies of boxes between global and shared memory
    bulk_stores: Traffic
    fragment_loads: Traffic  # of wmma: a fragment of a warp is one request
    fragment_stores: Traffic
    shared: Traffic
    local_requests: int
    operations: Mapping[str, int]  # floating-point operations by dtype, those of matrix instructions too

    @property
    def branch_efficiency(self) -> float | None:
        """The branches where all lanes went one way; None without a branch."""
        return 1 - self.divergent_branches / self.branches if self.branches else None

    @property
    def bytes_moved(self) -> int:
        """Bytes of the sectors that were gone to in global memory."""
        return 32 * sum(some.cost for some in self.global_traffic)

    @property
    def global_traffic(self) -> tuple[Traffic, ...]:
        """All that goes to global memory."""
        alone = (self.global_loads, self.global_stores)
        return (*alone, self.bulk_loads, self.bulk_stores, self.fragment_loads, self.fragment_stores)

    @property
    def bank_conflicts(self) -> int:
        """Wavefronts beyond those that no layout could spare."""
        return self.shared.cost - self.shared.ideal


@dataclass(frozen=True)
class MachineCode:
    """What the machine code takes: registers and bytes a thread, bytes a block, counts of instructions."""

    registers: int
    stack: int | None  # a thread; None if a function that calls itself leaves it open
    local_arrays: int  # of the stack, what the source declares; the rest was spilled, or is for calls
    local_loads: int
    local_stores: int
    static_shared: int
    dynamic_shared: int
    instructions: int
    widths: Mapping[str, Mapping[int, int]]  # LDG, STG, …: how many instructions move how many bits
    tensor_cores: Mapping[str, int]  # HMMA, HGMMA, …

    @property
    def spilled(self) -> int:
        """Bytes of a thread that did not fit in registers, as far as the stack is known."""
        if self.stack is None or not (self.local_loads or self.local_stores):
            return 0
        return max(0, self.stack - self.local_arrays)


@dataclass(frozen=True)
class Waves:
    """How the grid fills a product's SMs."""

    product: str
    slots: int  # blocks that run at once
    waves: int
    last_wave: int  # blocks in the last one
    efficiency: float  # blocks by the slots of their waves


@dataclass(frozen=True)
class OccupancyFigures:
    """How many blocks an SM holds at once, and why not more."""

    blocks_per_sm: int
    warps_per_sm: int
    share: float  # of the warps that an SM can hold
    limiters: tuple[str, ...]
    limits: Mapping[str, int | None]  # blocks that each resource would allow; None if it is not used
    to_gain_a_block: Mapping[str, int]  # what may be used at most for one more; all of it together
    waves: Waves | None  # None without a product
    words: str


@dataclass(frozen=True)
class TensorCores:
    """Whether the kernel uses tensor cores, and why not if it asks for a product of matrices."""

    used: bool | None  # None if there is no machine code to tell
    by: str  # "mma.sync", "wgmma", "tcgen05", or ""
    instructions: Mapping[str, int]  # of the machine code
    asked_at: tuple[int, ...]  # lines of the source that ask for a product
    falls_off: str | None  # why it does not run on them although it asks
    remedy: str | None = None  # what to do about that


@dataclass(frozen=True)
class TimeBound:
    """The least time on a product by its peaks: modelled, not measured, and no prediction."""

    product: str
    memory_seconds: float  # if every sector came from memory
    compute_seconds: float
    by: str  # "memory" or "compute"


@dataclass(frozen=True)
class Found:
    """What the checker found wrong, at its first place."""

    kind: str
    text: str
    file: str
    line: int
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    lane: int
    address: int | None
    count: int


@dataclass(frozen=True)
class Analysis:
    """A kernel on a GPU that nobody needs to have. Parts are None where they could not be told: see notes."""

    name: str  # as people write it
    kernel: str  # the entry, as the compiler calls it
    frontend: str
    arch: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int  # bytes of a block, static and dynamic
    blocks: int  # of the grid
    blocks_run: int
    scale: float | None  # from the blocks that ran to the grid; None if they differ, or nothing ran
    findings: tuple[Found, ...]
    totals: Totals | None
    lines: tuple[LineFigures, ...]
    machine_code: MachineCode | None
    occupancy: OccupancyFigures | None
    tensor_cores: TensorCores
    bound: TimeBound | None
    recommendations: tuple[str, ...]  # what to change, worst first
    provenance: Mapping[str, str]
    notes: tuple[str, ...]
    printed: str = ""  # by the kernel
    arrays: Mapping[str, Array] = field(repr=False, default_factory=dict)  # the arguments' arrays afterwards

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as plain values, for JSON."""
        found = asdict(replace(self, arrays={}))  # which would be copied
        del found["arrays"]
        if self.totals is not None:
            totals = found["totals"]
            for name in ("branch_efficiency", "bytes_moved", "bank_conflicts"):
                totals[name] = getattr(self.totals, name)
            for name, traffic in vars(self.totals).items():
                if isinstance(traffic, Traffic):
                    totals[name]["efficiency"] = traffic.efficiency
        if self.machine_code is not None:
            found["machine_code"]["spilled"] = self.machine_code.spilled
        return {"schema": SCHEMA, **found}
