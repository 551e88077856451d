"""Steps of tensormap instructions: kernels that make tensor maps themselves, field by field."""

from typing import Any

import numpy as np

from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.matrix.tensormap import BYTES, replaced
from tinytorch.gpu.ptx.operands import everywhere
from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError
from tinytorch.gpu.ptx.state import Group
from tinytorch.gpu.ptx.transfers import Step, address_reader

Array = np.ndarray[Any, Any]

_PIECE, _WORDS = 16, 4


def tensormap(machine: Machine, instruction: Instruction, index: int) -> Step:
    """Return the step of a tensormap.replace or tensormap.cp_fenceproxy. Raises NotCoveredError."""
    words, given = instruction.modifiers, instruction.operands
    spaces = [word.partition("::")[0] for word in words if word.partition("::")[0] in ("global", "shared")]
    spot = Spot(instruction, index)
    if words[:1] == ("cp_fenceproxy",) and spaces == ["global", "shared"] and len(given) == 3:
        to, of = (address_reader(machine, instruction, operand) for operand in given[:2])
        return lambda group: _write(
            machine, spot, group, "global", to(group), _read(machine, spot, group, "shared", of(group))
        )
    ordinal = given[1] if len(given) == 3 else Immediate(0, "int")
    if words[:2] != ("replace", "tile") or len(words) < 5 or len(spaces) != 1 or len(given) not in (2, 3):
        raise NotCoveredError(instruction)
    if not isinstance(ordinal, Immediate):
        raise NotCoveredError(instruction, "an ordinal that is no number")
    (space,), field, number = spaces, words[2], ordinal.value
    address = address_reader(machine, instruction, given[0])
    value = machine.operands.reader(instruction, given[-1], "u8" if words[-1] == "b64" else "u4")

    def replace(group: Group) -> None:
        places, values = address(group), everywhere(value(group), group.n)
        maps = _read(machine, spot, group, space, places)
        for lane in zip(*np.nonzero(group.mask), strict=True):
            changed = replaced(maps[lane].tobytes(), field, int(values[lane]), number)
            maps[lane] = np.frombuffer(changed, np.uint32)
        _write(machine, spot, group, space, places, maps)

    return replace


def _read(machine: Machine, spot: Spot, group: Group, space: str, addresses: Array) -> Array:
    """Return the 128 bytes at each lane's address, (n, 32, 32) uint32."""
    pieces = []
    for offset in range(0, BYTES, _PIECE):
        rows, _, _ = machine.place(space, group, addresses + offset, "u4", _WORDS, True, spot)
        pieces.append(machine.memories[space].load(rows, "u4", _WORDS))
    return np.concatenate(pieces, axis=-1)


def _write(machine: Machine, spot: Spot, group: Group, space: str, addresses: Array, maps: Array) -> None:
    for offset, piece in zip(range(0, BYTES, _PIECE), np.split(maps, BYTES // _PIECE, axis=-1), strict=True):
        rows, _, _ = machine.place(space, group, addresses + offset, "u4", _WORDS, False, spot)
        machine.memories[space].store(rows, piece, "u4", _WORDS)
