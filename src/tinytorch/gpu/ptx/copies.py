"""cp.async: copies from global to shared memory that land when they are waited for, and not before.

So what a kernel reads too early is still what was there, and is found as never written.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.operands import counted
from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError
from tinytorch.gpu.ptx.state import Group
from tinytorch.gpu.ptx.transfers import Step, address_reader, write_shared

Array = np.ndarray[Any, Any]


@dataclass
class _Pending:
    """One copy of some warps that has not landed."""

    rows: Array  # warps
    number: Array  # of the group of copies that it belongs to, for each warp
    places: Array  # in shared memory, (n, 32)
    active: Array
    values: Array  # (n, 32, parts)
    dtype: str
    parts: int
    spot: Spot


class Copies:
    """The copies of a batch that are under way, and how many groups each warp has committed."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._committed = np.zeros(machine.warps.count, np.int64)
        self._pending: list[_Pending] = []

    def start(self) -> None:
        """Begin anew."""
        self._committed[:] = 0
        self._pending.clear()

    def step(self, instruction: Instruction, index: int) -> Step:
        """Return the step of a `cp.async` instruction."""
        words = instruction.modifiers
        if words == ("async", "commit_group"):
            return self._committing(instruction)
        if words == ("async", "wait_all"):
            return lambda group: self._wait(group, 0, True)
        if words == ("async", "wait_group"):
            (operand,) = counted(instruction, 1)
            if isinstance(operand, Immediate) and operand.value >= 0:
                left = operand.value
                return lambda group: self._wait(group, left)
        plain = [w for w in words if not w.startswith("L2::")]
        if plain[:1] == ["async"] and plain[1:2] in (["ca"], ["cg"]) and plain[3:] == ["global"]:
            return self._copy(instruction, index)
        raise NotCoveredError(instruction)

    def _copy(self, instruction: Instruction, index: int) -> Step:
        machine = self._machine
        target, origin, size, *rest = counted(instruction, 3, 4, 5)
        if not isinstance(size, Immediate) or size.value not in (4, 8, 16):
            raise NotCoveredError(instruction, "its size")
        width = size.value
        to = address_reader(machine, instruction, target)
        of = address_reader(machine, instruction, origin)
        # The number of bytes to take; the rest of the place is filled with zeros. A cache policy may follow.
        policy = any(w.startswith("L2::cache_hint") for w in instruction.modifiers)
        given = rest[: len(rest) - policy]
        taken = machine.operands.reader(instruction, given[0], "u4") if given else None
        dtype, parts = ("u4", width // 4)
        spot = Spot(instruction, index)

        def step(group: Group) -> None:
            bytes_taken = np.full((1, 1), width) if taken is None else np.minimum(taken(group), width)
            some = group if taken is None else group.where(bytes_taken > 0)
            load = machine.counters.access(instruction, index, "global", "load", width)
            store = machine.counters.access(instruction, index, "shared", "store", width)
            addresses = of(group)
            partial = taken is not None and bool(((bytes_taken % width != 0) & some.mask).any())
            if partial:
                raise NotCoveredError(instruction, "a copy of part of its size")
            rows, active, _ = machine.place("global", some, addresses, dtype, parts, True, spot)
            machine.count("global", some, load, addresses, active)
            values = machine.memories["global"].load(rows, dtype, parts).reshape(group.n, 32, parts)
            values[~(some.mask if active is None else active)] = 0
            places = to(group)
            rows, active, _ = machine.place("shared", group, places, dtype, parts, False, spot)
            machine.count("shared", group, store, places, active)
            warps = machine.rows_of(group)
            lanes = group.mask if active is None else active
            self._pending.append(
                _Pending(warps.copy(), self._committed[warps], rows, lanes.copy(), values, dtype, parts, spot)
            )

        return step

    def land_all(self, group: Group) -> None:
        """Let all copies of these warps land."""
        self._wait(group, 0, True)

    def _committing(self, instruction: Instruction) -> Step:
        warps = self._machine.warps

        def step(group: Group) -> None:
            if not group.full and (group.mask != group.of(warps.there & ~warps.gone)).any():
                raise NotCoveredError(instruction, "only part of a warp commits its copies")
            self._committed[self._machine.rows_of(group)] += 1

        return step

    def _wait(self, group: Group, left: int, everything: bool = False) -> None:
        """Let copies land, but for those of the last `left` groups that were committed."""
        machine = self._machine
        waiting = np.zeros(machine.warps.count, bool)
        waiting[machine.rows_of(group)] = True
        kept = []
        for copy in self._pending:
            behind = self._committed[copy.rows] - left
            lands = waiting[copy.rows] & (everything | (copy.number < behind))
            if lands.any():
                self._land(copy, lands)
            if not lands.all():
                stays = ~lands
                kept.append(
                    _Pending(
                        copy.rows[stays],
                        copy.number[stays],
                        copy.places[stays],
                        copy.active[stays],
                        copy.values[stays],
                        copy.dtype,
                        copy.parts,
                        copy.spot,
                    )
                )
        self._pending = kept

    def _land(self, copy: _Pending, lands: Array) -> None:
        machine, memory = self._machine, self._machine.memories["shared"]
        width = 4 * copy.parts
        active = copy.active[lands]
        places = np.where(active, copy.places[lands], memory.sink // width)
        group = Group(copy.rows[lands], active, int(np.count_nonzero(active)))
        values = copy.values[lands] if copy.parts > 1 else copy.values[lands][..., 0]
        write_shared(machine, copy.spot, group, places, active, values, copy.dtype, copy.parts)
