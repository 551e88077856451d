"""Barriers of a block: warps wait at one until all that are expected have come.

Each of the 16 barriers expects every warp of the block that has not exited, or as many threads as it says.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.machine import Machine, Spot
from tinytorch.gpu.ptx.operands import Reader, Writer
from tinytorch.gpu.ptx.program import Instruction, NotCoveredError
from tinytorch.gpu.ptx.state import DONE, LANES, RUNNING, WAITING, Group

Array = np.ndarray[Any, Any]

_BARRIERS = 16


class StoppedError(Exception):
    """A run cannot go on; what was found says why."""


@dataclass(frozen=True)
class Barrier:
    """A barrier instruction."""

    spot: Spot
    number: Reader
    threads: Reader | None  # None: all of the block
    waits: bool  # a bar.arrive does not
    reduction: str = ""  # "popc", "and", "or" of a predicate over the block
    predicate: Reader | None = None
    write: Writer | None = None


def barrier_of(machine: Machine, instruction: Instruction, index: int) -> Barrier | None:
    """Return the barrier of an instruction that is one for the block, else None."""
    words = [w for w in instruction.modifiers if w not in ("cta", "aligned")]
    if instruction.opcode not in ("bar", "barrier") or not words or words[0] in ("warp", "cluster"):
        return None
    read = machine.operands.reader
    spot, given = Spot(instruction, index), list(instruction.operands)
    if words[0] in ("sync", "arrive") and len(words) == 1 and 1 <= len(given) <= 2:
        threads = read(instruction, given[1], "u4") if len(given) == 2 else None
        return Barrier(spot, read(instruction, given[0], "u4"), threads, words[0] == "sync")
    kinds = {("popc", "u32"): "u4", ("and", "pred"): "?", ("or", "pred"): "?"}
    if words[0] == "red" and tuple(words[1:]) in kinds and 3 <= len(given) <= 4:
        write = machine.operands.writer(instruction, given[0], kinds[words[1], words[2]])
        threads = read(instruction, given[2], "u4") if len(given) == 4 else None
        predicate = read(instruction, given[-1], "?")
        return Barrier(spot, read(instruction, given[1], "u4"), threads, True, words[1], predicate, write)
    raise NotCoveredError(instruction)


class Barriers:
    """Who waits where."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        count = machine.warps.count
        self._key = np.zeros(count, np.int64)  # block and number of the barrier that a warp waits at
        self._expected = np.zeros(count, np.int64)  # warps; 0: all that have not exited
        self._votes = np.zeros((count, LANES), bool)
        self._at: list[Barrier | None] = [None] * count
        self._arrived: dict[int, list[int]] = {}  # warps that came and did not wait

    def start(self) -> None:
        """Begin anew."""
        self._arrived.clear()

    def come(self, barrier: Barrier, group: Group, onward: int) -> None:
        """Let warps come to a barrier, and let all go on for whom it is complete."""
        machine, warps = self._machine, self._machine.warps
        rows = machine.rows_of(group)
        expected = group.of(warps.there) & ~group.of(warps.gone)
        missing = expected & ~group.mask
        if missing.any():
            parted = np.asarray(missing.any(axis=1))
            lanes = group.mask & parted[:, None]
            machine.report("divergent barrier", barrier.spot, group, lanes, None)
            raise StoppedError
        first = group.mask.argmax(axis=1)
        number = np.broadcast_to(barrier.number(group), group.mask.shape)[np.arange(group.n), first]
        if (number >= _BARRIERS).any():
            raise NotCoveredError(barrier.spot.instruction, f"barrier {int(number.max())} of 0 to 15")
        warps.pc[rows] = onward
        keys = warps.block[rows] * _BARRIERS + number
        if barrier.threads is None:
            self._expected[rows] = 0
        else:
            threads = np.broadcast_to(barrier.threads(group), group.mask.shape)[np.arange(group.n), first]
            self._expected[rows] = -(-threads.astype(np.int64) // LANES)
        if not barrier.waits:
            for key, row in zip(keys, rows, strict=True):
                self._arrived.setdefault(int(key), []).append(int(row))
                machine.races.post(_word_of(key), int(row))
        else:
            if self._all_here(group, barrier, number):
                machine.races.meet_all(machine.running)
                return
            warps.doing[rows] = WAITING
            self._key[rows] = keys
            for row in rows:
                self._at[row] = barrier
            if barrier.predicate is not None:
                votes = np.broadcast_to(barrier.predicate(group), group.mask.shape)
                self._votes[rows] = votes
        self.release()

    def _all_here(self, group: Group, barrier: Barrier, number: Array) -> bool:
        """Say whether all warps of all blocks came at once, to one barrier: nobody needs to wait."""
        warps = self._machine.warps
        return (
            not barrier.reduction
            and barrier.threads is None
            and not self._arrived
            and bool((number == number[0]).all())
            and group.n == int(np.count_nonzero(warps.doing != DONE))
        )

    def release(self) -> None:
        """Let those go on whose barrier is complete: after somebody came, or exited."""
        machine, warps = self._machine, self._machine.warps
        waiting = np.flatnonzero(warps.doing == WAITING)
        if not len(waiting):
            return
        alive = np.bincount(warps.block[warps.doing != DONE], minlength=warps.blocks)
        for key in np.unique(self._key[waiting]):
            rows = waiting[self._key[waiting] == key]
            others = self._arrived.get(int(key), [])
            some, block = int(self._expected[rows].max()), key // _BARRIERS
            if len(rows) + len(others) < (some or int(alive[block])):
                continue
            self._arrived.pop(int(key), None)
            warps.doing[rows] = RUNNING
            # Where all are waited for, what those did that have exited is behind the barrier, too.
            exited = np.flatnonzero((warps.block == block) & (warps.doing == DONE) & (not some))
            machine.races.meet(np.concatenate([rows, exited]))
            if others:
                self._hear(key, rows)
            self._reduce(rows)

    def _hear(self, key: int, rows: Array) -> None:
        """Let warps know what those did that arrived, up to then."""
        races, word = self._machine.races, _word_of(key)
        for row in rows:
            races.hear(word, int(row))
        races.forget(np.array([word]))

    def _reduce(self, rows: Array) -> None:
        """Write what warps voted; they may have come to the barrier at several instructions."""
        warps = self._machine.warps
        votes = self._votes[rows][warps.mask[rows]]
        at = [self._at[row] for row in rows]
        for barrier in {id(one): one for one in at}.values():
            if barrier is None or barrier.write is None:
                continue
            value: Any
            if barrier.reduction == "popc":
                value = np.array([[np.count_nonzero(votes)]], np.uint32)
            else:
                value = np.array([[votes.all() if barrier.reduction == "and" else votes.any()]])
            here = rows[[one is barrier for one in at]]
            mask = warps.mask[here]
            barrier.write(Group(here, mask, int(np.count_nonzero(mask))), value)

    def stuck(self) -> StoppedError:
        """Note that warps wait for others that will not come."""
        machine, warps = self._machine, self._machine.warps
        waiting = np.flatnonzero(warps.doing == WAITING)
        barrier = self._at[waiting[0]]
        assert barrier is not None
        rows = waiting[[self._at[row] is barrier for row in waiting]]
        mask = warps.mask[rows]
        group = Group(rows, mask, int(np.count_nonzero(mask)))
        machine.report("barrier not reached", barrier.spot, group, mask, None)
        return StoppedError()


def _word_of(key: int) -> int:
    """Return where word is left at a barrier: at no place in memory."""
    return -1 - int(key)
