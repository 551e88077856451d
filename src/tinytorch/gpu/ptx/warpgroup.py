"""wgmma: products whose matrices lie in shared memory, where their descriptors say.

They are computed when they are issued, so their fences and waits have nothing to do. What they read of shared
memory is checked and told apart: it goes to the tensor cores without a request of the warp's lanes.
"""

from typing import Any

import numpy as np

from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.matrix.descriptors import PIECE
from tinytorch.gpu.ptx.matrix.wgmma import WARPS, Wgmma
from tinytorch.gpu.ptx.operands import everywhere, flat
from tinytorch.gpu.ptx.program import Instruction, NotCoveredError
from tinytorch.gpu.ptx.state import LANES, Group
from tinytorch.gpu.ptx.transfers import Step

Array = np.ndarray[Any, Any]


def warpgroup(machine: Machine, instruction: Instruction, index: int, wgmma: Wgmma) -> Step:
    """Return the step of a wgmma.mma_async."""
    given = flat(instruction.operands)
    count, reader = len(wgmma.results), machine.operands.reader
    if len(given) < len(wgmma.sources):
        raise NotCoveredError(instruction, "it has too few operands")
    readers = [
        reader(instruction, operand, dtype) for operand, dtype in zip(given, wgmma.sources, strict=False)
    ]
    writers = [
        machine.operands.writer(instruction, operand, dtype)
        for operand, dtype in zip(given, wgmma.results, strict=False)
    ]
    spot = Spot(instruction, index)

    def step(group: Group) -> None:
        if not group.full:
            raise NotCoveredError(instruction, "not all 32 lanes of its warps take part")
        values = [everywhere(read(group), group.n) for read in readers]
        sums, of_a, of_b = tuple(values[:count]), values[count:-2], values[-2][:, 0]
        scale = values[-1][:, 0]
        ranks = group.of(machine.warps.rank) % WARPS
        a: Any = tuple(of_a)
        if not wgmma.a_in_registers:
            a = _pieces(machine, spot, group, np.arange(group.n), wgmma.addresses_a(of_a[0][:, 0], ranks))
        # The warps of a group share B: it is read once.
        rows = machine.rows_of(group)
        whole = (
            group.n % WARPS == 0
            and not (ranks[::WARPS]).any()
            and (rows.reshape(-1, WARPS) == rows[::WARPS, None] + np.arange(WARPS)).all()
        )
        same = whole and (of_b.reshape(-1, WARPS) == of_b[::WARPS, None]).all()
        readers_of_b = np.arange(0, group.n, WARPS if same else 1)
        b = _pieces(
            machine, spot, group, readers_of_b, wgmma.addresses_b(of_b[readers_of_b]), WARPS if same else 1
        )
        machine.counters.matrix(instruction, index, wgmma.flops * group.n)
        for write, register in zip(writers, wgmma.apply(sums, a, b, scale), strict=True):
            write(group, register)

    return step


def _pieces(
    machine: Machine, spot: Spot, group: Group, some: Array, addresses: Array, sharing: int = 1
) -> Array:
    """Return what lies at addresses of pieces, (len(some), …) for some warps of a group: 4 uint32 each.

    Each of them reads for as many warps as share the pieces, itself the first.
    """
    memory = machine.memories["shared"]
    warps = machine.rows_of(group)[some]
    flat_addresses = addresses.reshape(len(some), -1)
    inside = (flat_addresses >= 0) & (flat_addresses + PIECE <= machine.stride)
    base = (machine.warps.block[warps] * machine.stride)[:, None]
    rows, trouble = memory.place(np.where(inside, base + flat_addresses, -1), None, "u4", 4, True)
    if trouble is not None:
        for kind, lanes in (("out of bounds", trouble.outside), ("read before written", trouble.unwritten)):
            if lanes is not None:
                _tell(machine, kind, spot, warps, lanes, flat_addresses)
    if machine.races.active:
        lanes = np.ones(rows.shape, bool)
        for following in range(sharing):
            racing = machine.races.read(warps + following, rows, PIECE, lanes)
            if racing.any():
                _tell(machine, "race", spot, warps + following, racing, flat_addresses)
    return memory.load(rows, "u4", 4).reshape(*addresses.shape, 4)


def _tell(machine: Machine, kind: str, spot: Spot, warps: Array, wrong: Array, addresses: Array) -> None:
    """Report pieces of a matrix, by the warp that they are read for."""
    affected = np.flatnonzero(wrong.any(axis=1))
    first = np.zeros((len(affected), LANES), bool)
    first[:, 0] = True
    where = addresses[affected, wrong[affected].argmax(axis=1)][:, None]
    machine.report(kind, spot, Group(warps[affected], first, len(affected)), first, where, "shared")
