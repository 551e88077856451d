"""Bulk tensor copies and the mbarrier objects that tell when they are done.

A copy moves its whole box when it is issued, and is counted apart: it goes around the lanes' requests. Who
waits for an object knows, once its phase is over, of all that was done before those arrived who ended it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch.gpu.models import coalescing
from tinytorch.gpu.ptx.barriers import StoppedError
from tinytorch.gpu.ptx.copies import Copies
from tinytorch.gpu.ptx.launch import GLOBAL, PARAMETERS, WINDOW
from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.matrix import mbarrier, tensormap
from tinytorch.gpu.ptx.matrix.bulk import BulkTensor, bulk_tensor_of
from tinytorch.gpu.ptx.matrix.mbarrier import MBarrier, mbarrier_of
from tinytorch.gpu.ptx.operands import Reader, counted, everywhere
from tinytorch.gpu.ptx.program import Address, Instruction, NotCoveredError, Sink, TensorAddress
from tinytorch.gpu.ptx.state import Group, Pieces
from tinytorch.gpu.ptx.transfers import Step, address_reader, write_shared

Array = np.ndarray[Any, Any]


def mbarrier_step(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of an instruction on an mbarrier object. Raises NotCoveredError."""
    found = mbarrier_of(instruction)
    assert found is not None
    spot, operands = Spot(instruction, index), list(instruction.operands)
    place = next((i for i, operand in enumerate(operands) if isinstance(operand, Address)), -1)
    if place not in (0, 1) or "shared" not in instruction.name:
        raise NotCoveredError(instruction, "its operands")
    results, read, given = (
        operands[:place],
        address_reader(machine, instruction, operands[place]),
        operands[place + 1 :],
    )
    if found.kind in ("test_wait", "try_wait"):
        return _wait(machine, instruction, spot, read, found)
    change, needs = _change(found)
    if len(given) not in needs or found.kind == "pending_count":
        raise NotCoveredError(instruction, "its operands")
    count = machine.operands.reader(instruction, given[0], "u4") if given else None
    write = None
    if results and not isinstance(results[0], Sink):
        write = machine.operands.writer(instruction, results[0], "u8")

    def step(group: Group) -> None:
        number = np.ones((1, 1), np.uint32) if count is None else count(group)
        numbers = everywhere(number, group.n).astype(np.int64)
        before = _update(machine, spot, group, read(group), numbers, change, made=found.kind == "init")
        if write is not None:
            write(group, before)

    return step


def arrive_after_copies(machine: Machine, copies: Copies, instruction: Instruction, index: int) -> Step:
    """Return the step of a cp.async.mbarrier.arrive: an arrival once the lane's copies have landed."""
    (place,) = counted(instruction, 1)
    spot, read = Spot(instruction, index), address_reader(machine, instruction, place)
    expected = "noinc" in instruction.modifiers  # else it first adds the arrival that it then makes

    def step(group: Group) -> None:
        copies.land_all(group)
        ones = np.full((group.n, 32), 1 if expected else 0)
        _update(machine, spot, group, read(group), ones, mbarrier.arrived)

    return step


def _change(found: MBarrier) -> tuple[Callable[[Array, Array], Array], tuple[int, ...]]:
    """Return what an instruction makes of objects and a number, and how many operands it may have."""
    if found.kind == "init":
        return (lambda objects, number: mbarrier.made(number)), (1,)
    if found.kind == "inval":
        return (lambda objects, number: np.zeros_like(objects)), (0,)
    if found.kind == "expect_tx":
        return mbarrier.announced, (1,)
    if found.kind == "complete_tx":
        return (lambda objects, number: mbarrier.announced(objects, -number)), (1,)
    drop = found.kind == "arrive_drop"
    if found.expect_tx:
        return (lambda objects, number: mbarrier.arrived(mbarrier.announced(objects, number), 1, drop)), (1,)
    return (lambda objects, number: mbarrier.arrived(objects, number, drop)), (0, 1)


def _update(
    machine: Machine,
    spot: Spot,
    group: Group,
    addresses: Array,
    numbers: Array,
    change: Callable[[Array, Array], Array],
    made: bool = False,
) -> Array:
    """Change objects lane after lane; returns them as they were. Stops where there is none."""
    rows, active, _ = machine.place("shared", group, addresses, "u8", 1, False, spot)
    lanes = group.mask if active is None else active
    flat = numbers.ravel()

    def changed(objects: Array, which: Array) -> Array:
        if not made and not mbarrier.live(objects).all():
            machine.report("no mbarrier", spot, group, lanes, addresses, "shared")
            raise StoppedError
        return change(objects, flat[which])

    before = machine.memories["shared"].update(rows, lanes, "u8", changed)
    if made:
        machine.races.forget(np.unique(rows[lanes]))
    for row, lane in zip(*np.nonzero(lanes), strict=True):
        machine.races.post(int(rows[row, lane]), int(machine.rows_of(group)[row]))
    return before


def _wait(machine: Machine, instruction: Instruction, spot: Spot, read: Reader, found: MBarrier) -> Step:
    result, _, waited_for, *_ = counted(instruction, 3, 4)  # the fourth is for how long at most
    write = machine.operands.writer(instruction, result, "?")
    phase = machine.operands.reader(instruction, waited_for, "u4" if found.parity else "u8")

    def step(group: Group) -> None:
        addresses = read(group)
        rows, active, _ = machine.place("shared", group, addresses, "u8", 1, True, spot)
        objects = machine.memories["shared"].load(rows, "u8", 1)
        lanes = group.mask if active is None else active
        if not mbarrier.live(objects[lanes]).all():
            machine.report("no mbarrier", spot, group, lanes, addresses, "shared")
            raise StoppedError
        given = everywhere(phase(group), group.n)
        waited = (given & 1).astype(np.int64) if found.parity else mbarrier.parity(given)
        over = mbarrier.parity(objects) != waited
        warps = machine.rows_of(group)
        for row in np.flatnonzero((over & lanes).any(axis=1)):
            for place in np.unique(rows[row][over[row] & lanes[row]]):
                machine.races.hear(int(place), int(warps[row]))
        write(group, over)

    return step


def bulk_step(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of a bulk tensor copy. Raises NotCoveredError."""
    copy = bulk_tensor_of(instruction)
    if copy is None:
        raise NotCoveredError(instruction)
    operands = list(instruction.operands[: len(instruction.operands) - copy.hint])
    tensors = [operand for operand in operands if isinstance(operand, TensorAddress)]
    places = [operand for operand in operands if isinstance(operand, Address)]
    if (
        len(tensors) != 1
        or len(places) != (1 if copy.store else 2)
        or len(tensors[0].coordinates) != copy.rank
        or tensors[0].offsets
    ):
        raise NotCoveredError(instruction, "its operands")
    reader = machine.operands.reader
    base = address_reader(machine, instruction, Address(tensors[0].base))
    coordinates = [reader(instruction, operand, "i4") for operand in tensors[0].coordinates]
    read = [address_reader(machine, instruction, place) for place in places]
    spot = Spot(instruction, index)

    def step(group: Group) -> None:
        at = np.stack([everywhere(r(group), group.n) for r in coordinates], axis=-1)
        maps, (shared, *barriers) = base(group), (r(group) for r in read)
        for row, lane in zip(*np.nonzero(group.mask), strict=True):
            warp = np.array([machine.rows_of(group)[row]])
            tensor = tensormap.decode_tensor_map(_map_bytes(machine, int(maps[row, lane])))
            _move(machine, spot, copy, tensor, warp, at[row, lane], int(shared[row, lane]))
            if not copy.store:
                one = np.zeros((1, 32), bool)
                one[0, lane] = True
                _update(
                    machine,
                    spot,
                    Group(warp, one, 1),
                    barriers[0][row : row + 1],
                    np.full((1, 32), tensor.nbytes),
                    lambda objects, number: mbarrier.announced(objects, -number),
                )

    return step


def _map_bytes(machine: Machine, address: int) -> bytes:
    memory, offset = (
        (machine.memories["param"], address - PARAMETERS)
        if address >> WINDOW == PARAMETERS >> WINDOW
        else (machine.memories["global"], address - GLOBAL)
    )
    return memory.data[max(offset, 0) : max(offset, 0) + tensormap.BYTES].tobytes()


def _move(
    machine: Machine,
    spot: Spot,
    copy: BulkTensor,
    tensor: tensormap.TensorMap,
    warp: Array,
    coordinates: Array,
    start: int,
) -> None:
    """Move a box for one lane of a warp; what lies outside of the tensor is read as zero, or not written."""
    addresses, inside = tensor.addresses(coordinates[None])
    dtype, far = f"u{tensor.size}", machine.memories["global"]
    group = Pieces(warp, np.ones((1, tensor.elements), bool))
    places, lanes, _ = machine.place(
        "shared", group, tensor.places(np.array([start])), dtype, 1, copy.store, spot
    )
    rows, trouble = far.place(addresses - GLOBAL, inside, dtype, 1, not copy.store)
    if trouble is not None:
        for kind, wrong in (("out of bounds", trouble.outside), ("misaligned", trouble.misaligned)):
            if wrong is not None:
                machine.report(kind, spot, Pieces(warp, inside), wrong & inside, addresses, "global")
    access = machine.counters.access(
        spot.instruction, spot.index, "global", "bulk store" if copy.store else "bulk load", tensor.size
    )
    access.requests += 1
    access.lanes += int(np.count_nonzero(inside))
    sectors = int(coalescing.sectors(addresses, inside, tensor.size).sum())
    access.sectors += sectors
    access.ideal_sectors += int(coalescing.ideal_sectors(inside, tensor.size).sum())
    machine.sectors_of[warp] += sectors
    machine.name_arrays(access, addresses - GLOBAL, inside, np.array([bool(inside.any())]))
    near = machine.memories["shared"]
    if copy.store:
        if machine.races.active:
            racing = machine.races.read(warp, places, tensor.size, group.mask)
            machine.report_race(spot, group, racing, places * tensor.size)
        far.store(rows, near.load(places, dtype, 1), dtype, 1)
    else:
        values = np.where(inside, far.load(rows, dtype, 1), 0).astype(dtype)
        write_shared(machine, spot, group, places, lanes, values, dtype, 1)
