"""atom and red: changes of memory that lanes make one after the other, in the order of warps and lanes.

A GPU promises no order; this one makes a run the same every time. Sums of floats can differ from a GPU's in
their last bits for that reason.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.operands import counted, everywhere, flat
from tinytorch.gpu.ptx.program import Instruction, NotCoveredError
from tinytorch.gpu.ptx.semantics.rounding import double, flush, narrow
from tinytorch.gpu.ptx.state import Group
from tinytorch.gpu.ptx.transfers import Step, address_reader, by_space, spelled

Array = np.ndarray[Any, Any]
Change = Callable[..., Any]

_OPERATIONS = ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec")
#: The dtype that each type is changed as; packed halves are two places.
_DTYPES = {
    **{
        "u32": "u4",
        "s32": "i4",
        "b32": "u4",
        "u64": "u8",
        "s64": "i8",
        "b64": "u8",
        "b16": "u2",
        "u16": "u2",
    },
    **{"f32": "f4", "f64": "f8", "f16": "f2", "bf16": "u2", "f16x2": "f2", "bf16x2": "u2"},
}


def atomic(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of an `atom` or `red`."""
    space, kind, parts, words = spelled(instruction, _OPERATIONS)
    returns = instruction.opcode == "atom"
    if len(words) != 1 or kind not in _DTYPES or space not in ("", "global", "shared"):
        raise NotCoveredError(instruction)
    operation, dtype = words[0], _DTYPES[kind]
    packed = kind.endswith("x2")
    change = _change(operation, kind)
    if change is None:
        raise NotCoveredError(instruction, f"{operation} of .{kind}")
    operands = list(counted(instruction, *((3, 4, 5) if returns else (2, 3))))
    writers = []
    if returns:
        writers = [
            machine.operands.writer(instruction, o, "u4" if packed else dtype)
            for o in flat([operands.pop(0)])
        ]
    read = address_reader(machine, instruction, operands[0])
    counts = 2 if operation == "cas" else 1
    if len(operands) < 1 + counts or (returns and len(writers) != parts):
        raise NotCoveredError(instruction, "its operands")
    source = "u4" if packed else dtype
    readers = [
        [machine.operands.reader(instruction, o, source) for o in flat([operand])]
        for operand in operands[1 : 1 + counts]
    ]
    if any(len(values) != parts for values in readers):
        raise NotCoveredError(instruction, "its operands")
    spot, size = Spot(instruction, index), int(source[1:])
    access_width = size * parts

    def step(group: Group) -> None:
        for name, lanes, addresses in by_space(space, group, read(group)):
            access = machine.counters.access(instruction, index, name, "atomic", access_width)
            changing = _flushing if (operation, kind, name) == ("add", "f32", "global") else change
            places, active, _ = machine.place(name, lanes, addresses, source, parts, True, spot)
            use = lanes.mask if active is None else active
            machine.count(name, lanes, access, addresses, use)
            if name == "shared" and machine.races.active:
                racing = machine.races.change(machine.rows_of(lanes), places, access_width, use)
                machine.report_race(spot, lanes, racing, places * access_width)
            results: list[Array] = []  # written last: a register may be both source and result
            for part in range(parts):
                rows = places * parts + part
                given = [everywhere(values[part](lanes), lanes.n).copy() for values in readers]
                memory = machine.memories[name]
                if packed:
                    before = np.empty((lanes.n, 32, 2), dtype)
                    for half in range(2):
                        halves = [v.view(dtype).reshape(lanes.n, 32, 2)[..., half].ravel() for v in given]
                        before[..., half] = memory.update(
                            rows * 2 + half, use, dtype, _bound(changing, halves)
                        )
                    found = before.view("u4")[..., 0]
                else:
                    found = memory.update(rows, use, dtype, _bound(changing, [v.ravel() for v in given]))
                results.append(found)
            for write, found in zip(writers, results, strict=False):  # of a red nobody wants them
                write(lanes, found)

    return step


def _bound(change: Callable[..., Array], values: list[Array]) -> Callable[[Array, Array], Array]:
    return lambda found, lanes: change(found, *(value[lanes] for value in values))


def _change(operation: str, kind: str) -> Change | None:
    """Return new contents of places from what they hold and what lanes give; None if there is none."""
    if operation in ("exch", "cas"):
        return _ANY[operation]
    if kind.startswith("bf16"):
        function = _FLOATS.get(operation)
        return None if function is None else _bfloat16(function)
    return (_FLOATS if kind[0] == "f" else _INTEGERS).get(operation)


def _cas(found: Array, compare: Array, given: Array) -> Array:
    return np.where(found == compare, given, found)


def _inc(found: Array, given: Array) -> Array:
    return np.where(found >= given, 0, found + 1).astype(found.dtype)


def _dec(found: Array, given: Array) -> Array:
    return np.where((found == 0) | (found > given), given, found - 1).astype(found.dtype)


def _flushing(found: Array, given: Array) -> Array:
    """Add float32 as global memory does, without subnormal numbers; shared memory has them (PTX ISA)."""
    return flush(flush(found) + flush(given))


def _bfloat16(function: Change) -> Change:
    # What a sum of two bfloat16 loses in float64 lies too far below to change how it is rounded.
    return lambda found, given: narrow(function(double(found, "bf16"), double(given, "bf16")), "bf16")


_ANY: Mapping[str, Change] = {"exch": lambda found, given: given, "cas": _cas}
#: Of a number and a NaN, min and max take the number.
_FLOATS: Mapping[str, Change] = {"add": np.add, "min": np.fmin, "max": np.fmax}
_INTEGERS: Mapping[str, Change] = {
    **{"add": np.add, "min": np.minimum, "max": np.maximum, "inc": _inc, "dec": _dec},
    **{"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor},
}
