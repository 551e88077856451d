"""Run a kernel: all blocks of a grid, or a sample of them, and what was counted and found on the way."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytorch.gpu import launch
from tinytorch.gpu.arch import CAPABILITIES
from tinytorch.gpu.launch import Argument
from tinytorch.gpu.models.sample import spread
from tinytorch.gpu.ptx.barriers import StoppedError
from tinytorch.gpu.ptx.control import Control
from tinytorch.gpu.ptx.copies import Copies
from tinytorch.gpu.ptx.counters import Access, Branch, Counters, Matrix
from tinytorch.gpu.ptx.decode import Decoder
from tinytorch.gpu.ptx.findings import Finding
from tinytorch.gpu.ptx.flow import Flow
from tinytorch.gpu.ptx.launch import (
    GlobalMemory,
    block_of,
    local_layout,
    parameter_bytes,
    shared_layout,
)
from tinytorch.gpu.ptx.machine import Machine
from tinytorch.gpu.ptx.memory import MemoryLimitError
from tinytorch.gpu.ptx.program import SIZES, Kernel
from tinytorch.gpu.ptx.state import LANES
from tinytorch.gpu.ptx.transfers import grain_of
from tinytorch.runtime import units
from tinytorch.runtime.errors import InputError

Array = np.ndarray[Any, Any]

#: Warps that run at once: enough that NumPy's cost of a call is shared. Triton's products, on a busy Emerald
#: Rapids, in million warp instructions a second: with 128 0.46 to 0.60, with 64 0.30 to 0.56, with 256 0.30
#: to 0.66.
_WARPS = 128
#: Warp instructions after which a kernel is taken for endless, and bytes that a launch may take.
STEPS = 20_000_000
MEMORY = 4 << 30
#: The largest shared memory that a block can have on any GPU.
_MOST_SHARED = max(one.shared_per_block for one in CAPABILITIES.values())


@dataclass
class Run:
    """A kernel as it ran."""

    kernel: Kernel
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int  # of a block: static and dynamic
    blocks: tuple[int, ...]  # that ran, by their numbers in the grid, x fastest
    counters: Counters
    findings: list[Finding]
    arrays: Mapping[str, Array]  # the arguments' arrays afterwards; copies
    complete: bool  # False if what was found stopped it
    seconds: float
    printed: str  # by printf, in the order of warps and lanes
    #: Of each block that ran: warp instructions, sectors, wavefronts.
    by_block: Array = field(repr=False)

    @property
    def accesses(self) -> list[Access]:
        """The totals of each instruction that went to memory, in the order of the text."""
        return [self.counters.accesses[key] for key in sorted(self.counters.accesses)]

    @property
    def branches(self) -> list[Branch]:
        """The branches with a guard that were come to."""
        return [branch for _, branch in sorted(self.counters.branches.items()) if branch.executed]

    @property
    def matrices(self) -> list[Matrix]:
        """What the instructions of the tensor cores did, in the order of the text."""
        return [matrix for _, matrix in sorted(self.counters.matrices.items())]

    @property
    def warp_instructions(self) -> int:
        """Instructions that warps executed."""
        return self.counters.executed

    @property
    def active_threads(self) -> float:
        """Active lanes of an executed instruction, on average: 32 without divergence and partial warps."""
        return float(self.counters.active.sum() / max(self.warp_instructions, 1))

    @property
    def predicated_on_threads(self) -> float:
        """Lanes of an executed instruction that are active and whose guard holds, on average."""
        return float(self.counters.on.sum() / max(self.warp_instructions, 1))

    @property
    def sampled(self) -> bool:
        """Say whether only some blocks of the grid ran."""
        return len(self.blocks) < self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def blocks_agree(self) -> bool:
        """Say whether all blocks that ran executed as many instructions, sectors and wavefronts."""
        return bool((self.by_block == self.by_block[0]).all())

    @property
    def scale(self) -> float | None:
        """By what totals must be multiplied to be those of the whole grid; None if blocks do not agree."""
        whole = self.grid[0] * self.grid[1] * self.grid[2]
        if not self.sampled:
            return 1.0
        agree = self.complete and len(self.blocks) > 1 and self.blocks_agree
        return whole / len(self.blocks) if agree else None


def run(
    kernel: Kernel,
    grid: Any,
    block: Any,
    arguments: Sequence[Argument],
    *,
    shared: int = 0,
    blocks: int | Iterable[int] | None = None,
    unwritten: Sequence[str] = (),
    steps: int = STEPS,
    memory: int = MEMORY,
) -> Run:
    """Run a kernel and return what it did; the arrays given are not changed.

    `grid` and `block` are as in CUDA; `block` may be None where the kernel says it. `shared` is the dynamic
    shared memory of a block in bytes. `blocks` is how many blocks to run, spread over the grid, or
    which; None for all. What the arrays named in `unwritten` hold counts as never written. `steps` and
    `memory` are limits, in warp instructions and bytes; an instruction that fewer than 16 warps run together
    counts as 16 of `steps`.

    Raises InputError for a launch that cannot be or goes beyond a limit, NotCoveredError at an instruction
    that is not covered.

    >>> from tinytorch.gpu.ptx.parser import parse
    >>> text = '''.version 8.0
    ... .target sm_80
    ... .address_size 64
    ... .visible .entry twice(.param .u64 x)
    ... {
    ...     .reg .b32 %r<2>; .reg .b64 %rd<4>; .reg .f32 %f<3>;
    ...     ld.param.u64 %rd1, [x];
    ...     mov.u32 %r1, %tid.x;
    ...     mul.wide.u32 %rd2, %r1, 4;
    ...     add.s64 %rd3, %rd1, %rd2;
    ...     ld.global.f32 %f1, [%rd3];
    ...     add.f32 %f2, %f1, %f1;
    ...     st.global.f32 [%rd3], %f2;
    ...     ret;
    ... }'''
    >>> x = np.arange(64, dtype=np.float32)
    >>> done = run(parse(text).kernel(), 1, 64, [Argument("x", x)])
    >>> done.arrays["x"][-1], done.warp_instructions, [access.sectors for access in done.accesses]
    (np.float32(126.0), 16, [8, 8])
    """
    if math.prod(kernel.cluster or (1,)) > 1:
        raise InputError(
            f"{kernel.name} is launched in clusters of {kernel.cluster} blocks: that is not covered"
        )
    whole, threads = launch.grid(grid), block_of(block, kernel)
    chosen = _chosen(blocks, whole)
    shared = launch.shared(shared)
    _, shared_bytes = shared_layout(kernel, shared)
    if shared_bytes > _MOST_SHARED:
        raise InputError(
            f"{kernel.name} takes {shared_bytes} bytes of shared memory: {_MOST_SHARED} at most can be"
        )
    arrays = GlobalMemory(kernel, arguments, memory)
    parameters = parameter_bytes(kernel, arguments, arrays)
    arrays.forget(unwritten)
    size = _batch(kernel, threads, shared_bytes, len(chosen), memory)
    begun = time.perf_counter()
    machine = Machine(kernel, whole, threads, arrays, parameters, shared, size, grain_of(kernel.instructions))
    copies = Copies(machine)
    complete, by_block = True, []
    with np.errstate(all="ignore"):
        control = Control(machine, Flow.of(kernel), Decoder(machine, copies), steps)
        for start in range(0, len(chosen), size):
            some = chosen[start : start + size]
            machine.start(some)
            copies.start()
            control.start()
            try:
                control.run()
            except StoppedError:
                complete = False
            by_block.append(_by_block(machine)[: len(some)])
            if not complete:
                chosen = chosen[: start + len(some)]
                break
    return Run(
        kernel,
        whole,
        threads,
        shared_bytes,
        tuple(int(b) for b in chosen),
        machine.counters,
        list(machine.findings.values()),
        arrays.arrays(),
        complete,
        time.perf_counter() - begun,
        machine.printed.text,
        np.concatenate(by_block),
    )


def _chosen(blocks: int | Iterable[int] | None, grid: tuple[int, int, int]) -> Sequence[int]:
    whole = grid[0] * grid[1] * grid[2]
    if blocks is None:
        return range(whole)
    if isinstance(blocks, int):
        if blocks < 1:
            raise InputError(f"blocks must be at least 1, not {blocks}")
        if blocks >= whole:
            return range(whole)
        return spread(blocks, whole)
    chosen = sorted({int(b) for b in blocks})
    if not chosen or chosen[0] < 0 or chosen[-1] >= whole:
        raise InputError(f"blocks must be numbers from 0 to {whole - 1}, not {blocks!r}")
    return chosen


def _batch(kernel: Kernel, threads: tuple[int, int, int], shared: int, blocks: int, memory: int) -> int:
    """Return how many blocks run at once. Raises MemoryLimitError if not even one can."""
    warps = -(-threads[0] * threads[1] * threads[2] // LANES)
    registers = sum(SIZES[r.type] for r in kernel.registers.values())
    local = local_layout(kernel)[1]
    # Shared memory has a byte of state beside each byte, and five stamps beside each place.
    each = warps * LANES * (registers + 2 * local) + shared * (2 + 5 * 8)
    if each > memory:
        raise MemoryLimitError(
            f"a block of {kernel.name} takes {units.size(each)}: more than the {units.size(memory)} "
            "that may be used (memory=)"
        )
    return max(1, min(blocks, _WARPS // warps, memory // max(each, 1)))


def _by_block(machine: Machine) -> Array:
    counts = (machine.instructions_of, machine.sectors_of, machine.wavefronts_of)
    return np.stack([c.reshape(-1, machine.warps.per_block).sum(axis=1) for c in counts], axis=1)
