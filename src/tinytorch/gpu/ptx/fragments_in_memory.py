"""wmma: fragments of matrices between registers and memory, a whole warp at a time.

Which lane goes to which element is left open by the ISA. So a move is one request of the warp, counted apart,
with the sectors that the matrix lies in; the banks of shared memory have no say in it.
"""

from typing import Any

import numpy as np

from tinytorch.gpu.ptx.compute import compute, whole_warps
from tinytorch.gpu.ptx.counters import count_global, count_requests
from tinytorch.gpu.ptx.launch import GLOBAL
from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.matrix.wmma import Move, move_of
from tinytorch.gpu.ptx.operands import counted, everywhere, flat
from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError
from tinytorch.gpu.ptx.state import LANES, Group, Pieces
from tinytorch.gpu.ptx.transfers import Step, address_reader, by_space, note_read, write_shared

Array = np.ndarray[Any, Any]


def wmma(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of a wmma instruction; products are computed as those of mma are."""
    move = move_of(instruction)
    if move is None:
        return compute(machine, instruction, index)
    first, second, *rest = counted(instruction, 2, 3)
    place, values = (first, second) if move.store else (second, first)
    registers = flat([values])
    if len(registers) != move.fragment.registers:
        raise NotCoveredError(instruction, f"{len(registers)} registers of {move.fragment.registers}")
    dtype, operands = move.fragment.dtype, machine.operands
    readers = [operands.reader(instruction, r, dtype) for r in registers] if move.store else []
    writers = [] if move.store else [operands.writer(instruction, r, dtype) for r in registers]
    read = address_reader(machine, instruction, place)
    stride = operands.reader(instruction, rest[0] if rest else Immediate(move.stride, "int"), "u4")
    spot = Spot(instruction, index)

    def step(group: Group) -> None:
        whole_warps(instruction, group)
        warps = _warps(machine.rows_of(group)[group.mask[:, 0]])
        starts = _same(instruction, read(warps))
        strides = _same(instruction, everywhere(stride(warps), warps.n)).astype(np.int64)
        given = move.give(tuple(everywhere(r(warps), warps.n) for r in readers)) if move.store else None
        for space, lanes, places in by_space(move.space, warps, everywhere(starts[:, None], warps.n)):
            if space not in ("global", "shared"):
                raise NotCoveredError(instruction, f"an address in {space} memory")
            some = lanes.mask[:, 0]
            there, first = _warps(machine.rows_of(warps)[some]), places[some]
            wrong = (first % move.alignment != 0) & (np.arange(LANES) == 0)
            if wrong.any():
                machine.report("misaligned", spot, there, wrong, first, space)
            addresses = first[:, :1] + move.offsets(strides[some])
            loaded = _go(machine, spot, move, space, there, addresses, None if given is None else given[some])
            for write, register in zip(writers, move.take(loaded) if writers else (), strict=True):
                write(there, register)

    return step


def _warps(rows: Array) -> Group:
    """Return warps as a group of their own, all their lanes active."""
    return Group(rows, np.ones((len(rows), LANES), bool), LANES * len(rows))


def _same(instruction: Instruction, values: Array) -> Array:
    """Return what all lanes of each warp give, (n,)."""
    if (values != values[:, :1]).any():
        raise NotCoveredError(instruction, "lanes of a warp name different matrices")
    first: Array = values[:, 0]
    return first


def _go(
    machine: Machine, spot: Spot, move: Move, space: str, warps: Group, addresses: Array, given: Array | None
) -> Array:
    """Store what is given to pieces at addresses, (n, pieces), or load it; returns it, (n, pieces, …)."""
    parts, memory = move.piece // 4, machine.memories[space]
    group = Pieces(machine.rows_of(warps), np.ones(addresses.shape, bool))
    rows, active, _ = machine.place(space, group, addresses, "u4", parts, given is None, spot)
    _count(machine, spot, move, space, group, addresses, group.mask if active is None else active)
    if given is None:
        if space == "shared":
            note_read(machine, spot, group, rows, active, move.piece)
        given = memory.load(rows, "u4", parts)
        if active is not None:
            given[~active] = 0
    elif space == "shared":
        write_shared(machine, spot, group, rows, active, given, "u4", parts)
    else:
        memory.store(rows, given, "u4", parts)
    return given


def _count(
    machine: Machine, spot: Spot, move: Move, space: str, group: Group, addresses: Array, active: Array
) -> None:
    kind = "fragment store" if move.store else "fragment load"
    access = machine.counters.access(spot.instruction, spot.index, space, kind, move.piece)
    if space == "shared":
        count_requests(access, active)
        return
    sectors = count_global(access, addresses, active)
    machine.sectors_of[machine.rows_of(group)] += sectors
    machine.name_arrays(access, addresses - GLOBAL, active, sectors > 0)
