"""Steps of what warps compute with registers: arithmetic, talk between lanes, matrices."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.collective import Collective, collective_of
from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.matrix.ldmatrix import LdMatrix, ldmatrix_of, movmatrix_of, transpose
from tinytorch.gpu.ptx.matrix.mma import Mma, mma_of
from tinytorch.gpu.ptx.matrix.wgmma import wgmma_of
from tinytorch.gpu.ptx.matrix.wmma import product_of
from tinytorch.gpu.ptx.operands import Reader, Writer, counted, everywhere, flat
from tinytorch.gpu.ptx.program import Instruction, NotCoveredError
from tinytorch.gpu.ptx.semantics import value_of
from tinytorch.gpu.ptx.state import LANES, Group
from tinytorch.gpu.ptx.transfers import Step, address_reader, by_space, note_read, write_shared
from tinytorch.gpu.ptx.warpgroup import warpgroup

Array = np.ndarray[Any, Any]


def compute(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of an instruction that computes. Raises NotCoveredError."""
    talk = collective_of(instruction)
    if talk is not None:
        return _collective(machine, instruction, index, talk)
    mma = mma_of(instruction) or product_of(instruction)
    if mma is not None:
        return _matrix(machine, instruction, index, mma)
    wgmma = wgmma_of(instruction)
    if wgmma is not None:
        return warpgroup(machine, instruction, index, wgmma)
    move = ldmatrix_of(instruction)
    if move is not None:
        return _ldmatrix(machine, instruction, index, move)
    if movmatrix_of(instruction):
        (read,), (write,) = operands(machine, instruction, ("u4",), ("u4",))
        return lambda group: write(group, transpose(everywhere(read(group), group.n)))
    return _arithmetic(machine, instruction)


def operands(
    machine: Machine, instruction: Instruction, sources: Sequence[str], results: Sequence[str]
) -> tuple[list[Reader], list[Writer]]:
    """Return readers of an instruction's sources and writers of its results, results first in the text."""
    given = flat(instruction.operands)
    if len(given) != len(sources) + len(results):
        raise NotCoveredError(instruction, f"{len(given)} operands, not {len(sources) + len(results)}")
    writers = [
        machine.operands.writer(instruction, operand, dtype)
        for operand, dtype in zip(given[: len(results)], results, strict=True)
    ]
    readers = [
        machine.operands.reader(instruction, operand, dtype)
        for operand, dtype in zip(given[len(results) :], sources, strict=True)
    ]
    return readers, writers


def _arithmetic(machine: Machine, instruction: Instruction) -> Step:
    value = value_of(instruction)
    plain_sources = value.sources[: len(value.sources) - value.carry_in]
    plain_results = value.results[: len(value.results) - value.carry_out]
    readers, writers = operands(machine, instruction, plain_sources, plain_results)
    if value.carry_in:
        readers.append(machine.carry_reader)
    if value.carry_out:
        writers.append(machine.carry_writer)
    apply = value.apply
    if len(writers) == 1 and len(readers) <= 3:
        write = writers[0]
        target = (
            None
            if value.ufunc is None
            else machine.operands.target(flat(instruction.operands)[0], value.results[0])
        )
        return _one_result(value.ufunc, target, apply, readers, write)

    def step(group: Group) -> None:
        found = apply(*(read(group) for read in readers))
        for write, result in zip(writers, found if len(writers) > 1 else (found,), strict=True):
            write(group, result)

    return step


def _one_result(
    ufunc: Callable[..., Array] | None,
    target: Array | None,
    apply: Callable[..., Array],
    readers: Sequence[Reader],
    write: Writer,
) -> Step:
    if ufunc is not None and target is not None:

        def straight(group: Group) -> None:
            if group.rows is None and group.full:
                ufunc(*[read(group) for read in readers], out=target, casting="unsafe")
            else:
                write(group, apply(*[read(group) for read in readers]))

        return straight
    return lambda group: write(group, apply(*[read(group) for read in readers]))


def _collective(machine: Machine, instruction: Instruction, index: int, talk: Collective) -> Step:
    readers, writers = operands(machine, instruction, talk.sources, talk.results)
    spot = Spot(instruction, index)

    def step(group: Group) -> None:
        given = [read(group) for read in readers]
        if talk.member is not None:
            check_named(machine, spot, group, given[talk.member])
        found = talk.apply(group.mask, *given)
        for write, result in zip(writers, found if isinstance(found, tuple) else (found,), strict=True):
            write(group, result)

    return step


def check_named(machine: Machine, spot: Spot, group: Group, member: Array) -> None:
    """Report lanes that name others which neither execute the instruction with them nor have exited."""
    here = group.mask if group.full else group.mask | group.of(machine.warps.gone)
    bits = np.packbits(here, axis=1, bitorder="little").view("<u4")
    missing = ((member & ~bits) != 0) & group.mask
    if missing.any():
        machine.report("lanes missing", spot, group, missing, None)


def warp_barrier(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of a bar.warp.sync: lanes run in step, so that it only has to be reached by all."""
    if instruction.modifiers != ("warp", "sync"):
        raise NotCoveredError(instruction)
    (named,) = counted(instruction, 1)
    read = machine.operands.reader(instruction, named, "u4")
    spot = Spot(instruction, index)
    return lambda group: check_named(machine, spot, group, read(group))


def whole_warps(instruction: Instruction, group: Group) -> None:
    """Raise NotCoveredError unless each warp takes part with all lanes, or not at all."""
    if not group.full and not (group.mask.all(axis=1) | ~group.mask.any(axis=1)).all():
        raise NotCoveredError(instruction, "not all 32 lanes of a warp take part")


def _matrix(machine: Machine, instruction: Instruction, index: int, mma: Mma) -> Step:
    readers, writers = operands(machine, instruction, mma.sources, mma.results)

    def step(group: Group) -> None:
        whole_warps(instruction, group)
        warps = int(np.count_nonzero(group.mask[:, 0]))
        machine.counters.matrix(instruction, index, mma.flops * warps)
        found = mma.apply(*(everywhere(read(group), group.n) for read in readers))
        for write, result in zip(writers, found, strict=True):
            write(group, result)

    return step


def _ldmatrix(machine: Machine, instruction: Instruction, index: int, move: LdMatrix) -> Step:
    given = counted(instruction, 2)
    place, values = given if move.store else given[::-1]
    read = address_reader(machine, instruction, place)
    parts = flat([values])
    spot, kind = Spot(instruction, index), "store" if move.store else "load"
    if len(parts) != move.count:
        raise NotCoveredError(instruction, f"{len(parts)} registers of {move.count}")
    writers = [] if move.store else [machine.operands.writer(instruction, p, "u4") for p in parts]
    readers = [machine.operands.reader(instruction, p, "u4") for p in parts] if move.store else []
    giving = np.arange(LANES)[None] < move.lanes

    def step(group: Group) -> None:
        whole_warps(instruction, group)
        some = group.where(giving)
        for name, lanes, addresses in by_space(
            "shared" if "shared" in instruction.name else "", some, read(group)
        ):
            if name != "shared":
                raise NotCoveredError(instruction, f"an address in {name} memory")
            access = machine.counters.access(instruction, index, name, kind, 16)
            rows, active, _ = machine.place(name, lanes, addresses, "u2", 8, not move.store, spot)
            machine.count(name, lanes, access, addresses, active)
            memory = machine.memories[name]
            if move.store:
                whole = np.zeros((group.n, LANES, 8), "u2")
                whole[:, : move.lanes] = move.gather(tuple(everywhere(r(group), group.n) for r in readers))
                write_shared(machine, spot, lanes, rows, active, whole, "u2", 8)
                return
            note_read(machine, spot, lanes, rows, active, 16)
            loaded = memory.load(rows, "u2", 8)[:, : move.lanes]
            for write, register in zip(writers, move.spread(loaded), strict=True):
                write(group, register)

    return step
