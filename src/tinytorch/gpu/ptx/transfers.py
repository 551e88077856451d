"""Loads and stores: what a group of warps reads from memory and writes to it, and what that costs.

An address without a space in its instruction is generic: lanes may point to different spaces, and each space
is gone to in turn.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.launch import LOCAL, PARAMETERS, SHARED, WINDOW
from tinytorch.gpu.ptx.machine import WINDOWS, Machine, Spot
from tinytorch.gpu.ptx.operands import Reader, counted, everywhere, flat
from tinytorch.gpu.ptx.program import Address, Instruction, NotCoveredError, Operand, Symbol
from tinytorch.gpu.ptx.state import Group

Array = np.ndarray[Any, Any]
Step = Callable[[Group], None]

#: Bytes of a lane's access to a space that is not global memory; to that, twice as many.
_WIDEST_BUT_GLOBAL = 16
_SPACES = ("global", "shared", "local", "const", "param")
#: Modifiers that say how a load or store is cached, ordered or by whom it is seen: here all are seen by all.
_NO_MATTER = {
    *("weak", "relaxed", "acquire", "release", "acq_rel", "volatile", "mmio", "nc", "sc"),
    *("cta", "cluster", "gpu", "sys", "ca", "cg", "cs", "lu", "cv", "wb", "wt", "unified", "noftz"),
}
#: Those of them by which an access may meet others with no barrier between, as atomics do.
_STRONG = frozenset(("relaxed", "acquire", "release", "acq_rel", "volatile", "mmio"))
_DTYPES = {
    **{
        f"{kind}{bits}": f"{'i' if kind == 's' else 'u'}{bits // 8}"
        for kind in "bus"
        for bits in (8, 16, 32, 64)
    },
    **{"f16": "u2", "bf16": "u2", "f16x2": "u4", "bf16x2": "u4", "f32": "f4", "f64": "f8"},
}


def spelled(instruction: Instruction, known: Sequence[str] = ()) -> tuple[str, str, int, list[str]]:
    """Return space ("" for generic), type, parts of the vector, and which of the `known` words there are.

    Raises NotCoveredError for a modifier that is none of these and matters.
    """
    space, kind, parts, words = "", "", 1, []
    for modifier in instruction.modifiers:
        base, _, level = modifier.partition("::")
        if base in _SPACES and level in ("", "cta", "entry", "func"):
            space = base
        elif modifier in ("v2", "v4", "v8"):
            parts = int(modifier[1:])
        elif modifier in known:
            words.append(modifier)
        elif modifier in _DTYPES or modifier == "b128":
            kind = modifier
        elif modifier not in _NO_MATTER and base not in ("L1", "L2"):
            raise NotCoveredError(instruction, f"the modifier .{modifier}")
    if (
        space not in ("", "global")
        and kind in _DTYPES
        and parts * int(_DTYPES[kind][1:]) > _WIDEST_BUT_GLOBAL
    ):
        raise NotCoveredError(instruction, f"more than 128 bits of .{space}")
    return space, kind, parts, words


def address_reader(machine: Machine, instruction: Instruction, operand: Operand) -> Reader:
    """Return what reads an address, (n, 32) int64. Raises NotCoveredError."""
    if not isinstance(operand, Address):
        raise NotCoveredError(instruction, f"the address {operand}")
    if operand.base is None:
        fixed = np.array([[operand.offset]], np.int64)
        return lambda group: everywhere(fixed, group.n)
    if isinstance(operand.base, Symbol):
        if operand.base.name not in machine.symbols:
            raise NotCoveredError(instruction, f"the address of {operand.base.name}")
        place = machine.symbols[operand.base.name] + operand.base.offset + operand.offset
        there = np.array([[place]], np.int64)
        return lambda group: everywhere(there, group.n)
    wide = operand.base.type.endswith("64")
    read = machine.operands.reader(instruction, operand.base, "i8" if wide else "u4")
    offset = operand.offset
    if wide and not offset:
        return read
    return lambda group: read(group).astype(np.int64) + offset


def by_space(space: str, group: Group, addresses: Array) -> Iterator[tuple[str, Group, Array]]:
    """Yield each space that lanes point to, those lanes, and their addresses within it."""
    if space:
        yield space, group, addresses
        return
    windows = addresses >> WINDOW
    some = windows[group.mask]
    for window in np.unique(some) if some.size else ():
        name = WINDOWS.get(int(window))
        lanes = group if (some == window).all() else group.where(windows == window)
        if name is None:  # null, or nowhere: to be found out of bounds
            yield "global", lanes, addresses
        elif name == "global":
            yield name, lanes, addresses
        else:
            yield name, lanes, addresses & ((1 << WINDOW) - 1)


def load(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of an `ld`, `ldu` or `ld.param`."""
    space, kind, parts, _ = spelled(instruction)
    if kind not in _DTYPES:
        raise NotCoveredError(instruction, "its type")
    dtype = _DTYPES[kind]
    result, place, *_ = counted(instruction, 2, 3)  # the third is a cache policy
    results = flat([result])
    if len(results) != parts:
        raise NotCoveredError(instruction, f"{len(results)} results of {parts}")
    writers = [machine.operands.writer(instruction, each, dtype) for each in results]
    if space == "param" and isinstance(place, Address) and isinstance(place.base, Symbol):
        return _parameter(machine, instruction, dtype, parts, writers)
    read = address_reader(machine, instruction, place)
    spot, width = Spot(instruction, index), int(dtype[1:]) * parts
    strong = not _STRONG.isdisjoint(instruction.modifiers)

    def step(group: Group) -> None:
        for name, lanes, addresses in by_space(space, group, read(group)):
            access = machine.counters.access(instruction, index, name, "load", width)
            rows, active, _ = machine.place(name, lanes, addresses, dtype, parts, True, spot)
            machine.count(name, lanes, access, addresses, active)
            if name == "shared":
                note_read(machine, spot, lanes, rows, active, width, strong)
            values = machine.memories[name].load(rows, dtype, parts)
            if active is not None and active is not lanes.mask:
                values[~active] = 0
            for part, write in enumerate(writers):
                write(lanes, values if parts == 1 else values[..., part])

    return step


def _parameter(
    machine: Machine, instruction: Instruction, dtype: str, parts: int, writers: Sequence[Any]
) -> Step:
    operand, size = instruction.operands[1], int(dtype[1:])
    assert isinstance(operand, Address)
    assert isinstance(operand.base, Symbol)
    parameters = {p.name: p for p in machine.kernel.parameters}
    parameter = parameters.get(operand.base.name)
    begin = operand.base.offset + operand.offset
    if parameter is None or begin < 0 or begin + size * parts > parameter.size:
        raise NotCoveredError(instruction, "no such parameter, or a place behind its end")
    begin += parameter.offset
    content = machine.parameters[begin : begin + size * parts].tobytes()
    values = [np.frombuffer(content, dtype, 1, part * size)[None] for part in range(parts)]

    def step(group: Group) -> None:
        for write, value in zip(writers, values, strict=True):
            write(group, value)

    return step


def store(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of an `st`."""
    space, kind, parts, _ = spelled(instruction)
    if kind not in _DTYPES or space in ("param", "const"):
        raise NotCoveredError(instruction)
    dtype = _DTYPES[kind]
    place, values, *_ = counted(instruction, 2, 3)
    sources = flat([values])
    if len(sources) != parts:
        raise NotCoveredError(instruction, f"{len(sources)} sources of {parts}")
    readers = [machine.operands.reader(instruction, source, dtype) for source in sources]
    read = address_reader(machine, instruction, place)
    spot, width = Spot(instruction, index), int(dtype[1:]) * parts
    strong = not _STRONG.isdisjoint(instruction.modifiers)

    def step(group: Group) -> None:
        for name, lanes, addresses in by_space(space, group, read(group)):
            access = machine.counters.access(instruction, index, name, "store", width)
            rows, active, _ = machine.place(name, lanes, addresses, dtype, parts, False, spot)
            machine.count(name, lanes, access, addresses, active)
            values = np.empty((lanes.n, 32, parts), dtype)
            for part, source in enumerate(readers):
                values[..., part] = source(lanes)
            if parts == 1:
                values = values[..., 0]
            if name == "shared":
                write_shared(machine, spot, lanes, rows, active, values, dtype, parts, strong)
            else:
                machine.memories[name].store(rows, values, dtype, parts)

    return step


def note_read(
    machine: Machine,
    spot: Spot,
    group: Group,
    rows: Array,
    active: Array | None,
    width: int,
    strong: bool = False,
) -> None:
    """Note a read of shared memory, and whether it races. `rows` are in units of `width` bytes."""
    lanes = group.mask if active is None else active
    if not machine.races.active:
        return
    racing = machine.races.read(machine.rows_of(group), rows, width, lanes, strong)
    machine.report_race(spot, group, racing, rows * width)


def write_shared(
    machine: Machine,
    spot: Spot,
    group: Group,
    rows: Array,
    active: Array | None,
    values: Array,
    dtype: str,
    parts: int,
    strong: bool = False,
) -> None:
    """Write to shared memory, and note whether that races."""
    memory, width = machine.memories["shared"], int(dtype[1:]) * parts
    if not machine.races.active:
        memory.store(rows, values, dtype, parts)
        return
    lanes = group.mask if active is None else active
    racing, before, together = machine.races.write(machine.rows_of(group), rows, width, lanes, strong)
    if before.any():
        racing |= before & _differ(memory.load(rows, dtype, parts), values)
    memory.store(rows, values, dtype, parts)
    if together.any():
        racing |= together & _differ(memory.load(rows, dtype, parts), values)
    machine.report_race(spot, group, racing, rows * width)


def _differ(a: Array, b: Array) -> Array:
    bits = f"u{a.itemsize}"
    unlike = a.view(bits) != b.view(bits)
    return np.asarray(unlike.any(axis=-1) if unlike.ndim == 3 else unlike)


def convert_address(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of a `cvta`: between an address in a space and a generic one."""
    words = instruction.modifiers
    name = next((w.partition("::")[0] for w in words if w.partition("::")[0] in _SPACES), "")
    kind = words[-1] if words else ""
    base = {"shared": SHARED, "local": LOCAL, "param": PARAMETERS, "global": 0, "const": 0}.get(name)
    if base is None or kind not in _DTYPES:
        raise NotCoveredError(instruction)
    target, source = counted(instruction, 2)
    dtype = _DTYPES[kind]
    read = machine.operands.reader(instruction, source, dtype)
    write = machine.operands.writer(instruction, target, dtype)
    shift = np.array([[-base if "to" in words else base]], np.int64).astype(dtype)
    return lambda group: write(group, read(group) + shift)


def is_space(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of an `isspacep`: whether a generic address lies in a space."""
    (result, address), spaces = counted(instruction, 2), [m.partition("::")[0] for m in instruction.modifiers]
    window = next((window for window, name in WINDOWS.items() if [name] == spaces), None)
    if window is None:
        raise NotCoveredError(instruction)
    read = machine.operands.reader(instruction, address, "i8")
    write = machine.operands.writer(instruction, result, "?")
    return lambda group: write(group, read(group) >> WINDOW == window)


def grain_of(instructions: Sequence[Instruction]) -> int:
    """Return the narrowest access to shared memory in bytes, at most 4: what races are told apart by."""
    narrowest = 4
    for instruction in instructions:
        if instruction.opcode not in ("ld", "st", "atom", "red"):
            continue
        spaces = {m.partition("::")[0] for m in instruction.modifiers}
        if spaces & {"global", "param", "const", "local"}:
            continue
        kinds = [m for m in instruction.modifiers if m in _DTYPES]
        if kinds:
            narrowest = min(narrowest, int(_DTYPES[kinds[-1]][1:]))
    return narrowest
