"""The warps of a batch of blocks: registers, masks, stacks. Warps that stand at one place run as a group.

Everything of a warp is a row of some array; rows 0 to `per_block` - 1 are the warps of the first block.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.program import SIZES, Kernel, Register

Array = np.ndarray[Any, Any]

LANES = 32
#: What a warp does.
RUNNING, WAITING, DONE = 0, 1, 2
#: Where no instruction is: the reconvergence of lanes that never meet again.
NOWHERE = -1


class Group:
    """Warps that run one piece of code together, and which of their lanes do."""

    __slots__ = ("lanes", "mask", "n", "rows")

    def __init__(self, rows: Array | None, mask: Array, lanes: int) -> None:
        self.rows = rows  # None: all of the batch
        self.mask = mask  # (n, 32) bool
        self.n = len(mask)
        self.lanes = lanes  # how many are active in all

    @property
    def full(self) -> bool:
        """Say whether all lanes of all these warps are active."""
        return self.lanes == self.n * LANES

    @property
    def active(self) -> Array | None:
        """The mask, or None where it holds nobody back."""
        return None if self.full else self.mask

    def of(self, array: Array) -> Array:
        """Return the rows of an array that are these warps'."""
        chosen: Array = array if self.rows is None else array[self.rows]
        return chosen

    def where(self, condition: Array) -> "Group":
        """Return the same warps with only those lanes for which a condition holds."""
        mask = self.mask & condition
        return Group(self.rows, mask, int(np.count_nonzero(mask)))


class Pieces(Group):
    """Warps that go to memory as a whole, with pieces in the place of lanes, (n, m): none is a lane's own."""

    __slots__ = ()

    def __init__(self, rows: Array, mask: Array) -> None:
        super().__init__(rows, mask, int(np.count_nonzero(mask)))

    @property
    def full(self) -> bool:
        """Say whether all pieces are active."""
        return self.lanes == self.mask.size


class Registers:
    """The registers of all warps: one array of (warps, 32) for each, of as many bits as it has."""

    def __init__(self, kernel: Kernel, warps: int) -> None:
        self._arrays = {
            name: np.zeros((warps, LANES), bool if r.type == "pred" else f"u{SIZES[r.type]}")
            for name, r in kernel.registers.items()
            if SIZES[r.type] <= 8
        }

    def view(self, register: Register, dtype: str) -> Array:
        """Return a register's low bits as a dtype: a view, so that what is written to it stays."""
        array = self._arrays[register.name]
        if dtype == "?" or array.dtype == bool:
            return array
        size = int(dtype[1:])
        if size == array.itemsize:
            return array.view(dtype)
        return array.view(dtype).reshape(*array.shape, -1)[..., 0]  # little-endian: the low bits come first

    def arrays(self, names: Iterable[str]) -> list[Array]:
        """Return the whole registers of these names, (warps, 32) each; of 128 bits none are kept here."""
        return [self._arrays[name] for name in names if name in self._arrays]

    def clear(self) -> None:
        """Set all to zero, as before a first instruction."""
        for array in self._arrays.values():
            array[...] = 0


class Warps:
    """Where each warp stands, which lanes are active, and what waits on its stack."""

    def __init__(self, blocks: int, threads: tuple[int, int, int]) -> None:
        size = threads[0] * threads[1] * threads[2]
        self.per_block = -(-size // LANES)
        self.blocks = blocks
        self.count = n = blocks * self.per_block
        self.block = np.repeat(np.arange(blocks), self.per_block)  # the row's block in the batch
        self.rank = np.tile(np.arange(self.per_block), blocks)  # its number in the block
        self.thread = self.rank[:, None] * LANES + np.arange(LANES)  # of the block, in one dimension
        self.there = self.thread < size
        self.pc = np.zeros(n, np.int64)
        self.meet = np.full(n, NOWHERE, np.int64)  # where the lanes on top of the stack meet others again
        self.mask = np.zeros((n, LANES), bool)
        self.gone = np.zeros((n, LANES), bool)  # lanes that have exited
        self.doing = np.full(n, DONE, np.int8)
        self.depth = np.zeros(n, np.int64)
        self.parted = np.zeros(n, bool)  # lanes that spun have parted where they would have stayed together
        self._stack_pc = np.zeros((n, 4), np.int64)
        self._stack_meet = np.zeros((n, 4), np.int64)
        self._stack_mask = np.zeros((n, 4, LANES), bool)

    def start(self, blocks: int) -> None:
        """Put the warps of the first so many blocks at the first instruction; the others stay away."""
        here = self.block < blocks
        self.pc[:] = 0
        self.meet[:] = NOWHERE
        self.mask[:] = self.there & here[:, None]
        self.gone[:] = ~self.mask
        self.doing[:] = np.where(here, RUNNING, DONE)
        self.depth[:] = 0
        self.parted[:] = False

    def push(self, rows: Array, pc: Array | int, meet: Array | int, mask: Array) -> None:
        """Put an entry on the stack of each of these warps."""
        if not len(rows):
            return
        if self.depth[rows].max() == self._stack_pc.shape[1]:
            more = self._stack_pc.shape[1]
            self._stack_pc = np.pad(self._stack_pc, ((0, 0), (0, more)))
            self._stack_meet = np.pad(self._stack_meet, ((0, 0), (0, more)))
            self._stack_mask = np.pad(self._stack_mask, ((0, 0), (0, more), (0, 0)))
        depth = self.depth[rows]
        self._stack_pc[rows, depth] = pc
        self._stack_meet[rows, depth] = meet
        self._stack_mask[rows, depth] = mask
        self.depth[rows] += 1

    def pop(self, rows: Array) -> None:
        """Go on with the next entry that has a lane which has not exited; without one the warp is done."""
        while len(rows):
            empty = self.depth[rows] == 0
            self.doing[rows[empty]] = DONE
            rows = rows[~empty]
            self.depth[rows] -= 1
            depth = self.depth[rows]
            self.parted[rows] &= depth > 0
            self.pc[rows] = self._stack_pc[rows, depth]
            self.meet[rows] = self._stack_meet[rows, depth]
            self.mask[rows] = self._stack_mask[rows, depth] & ~self.gone[rows]
            rows = rows[~self.mask[rows].any(axis=1) | (self.pc[rows] == self.meet[rows])]

    def scatter(self, row: int, ways: list[tuple[int, Array]], meet: int) -> None:
        """Let the lanes of one warp go several ways, (instruction, lanes) each, until all meet again."""
        one = np.array([row])
        if self.meet[row] != meet and meet != NOWHERE:
            self.push(one, meet, int(self.meet[row]), self.mask[one])
        self.meet[row] = meet
        *others, (pc, mask) = [way for way in ways if way[0] != meet]
        for place, lanes in others:
            self.push(one, place, meet, lanes[None])
        self.pc[row], self.mask[row] = pc, mask

    def diverge(self, rows: Array, taken: Array, target: int, onward: int, meet: int) -> None:
        """Let the lanes of `taken` go to `target`, the others on, until all meet again.

        `taken` is (len(rows), 32), with some but not all of the active lanes of each row.
        """
        mask = self.mask[rows]
        # Lanes that leave a loop one after the other meet at the same place: one entry waits there.
        waits = (self.meet[rows] == meet) | (meet == NOWHERE)
        fresh = rows[~waits]
        self.push(fresh, meet, self.meet[fresh], mask[~waits])
        others = mask & ~taken
        self.meet[rows] = meet
        first, second = (taken, others) if target != meet else (others, taken)
        self.pc[rows] = target if target != meet else onward
        self.mask[rows] = first
        if meet not in (target, onward):
            self.push(rows, onward, meet, second)

    def turn(self, row: int) -> None:
        """Let the lanes on top of a warp's stack wait, and others run: those that meet them, or wait for it.

        Where all meet is now where the ones around them do: who has come there goes on alone. Those who stand
        at one place go on together.
        """
        while self.depth[row]:
            first, ways = self._meeting_top(row)
            ways.insert(0, (int(self.pc[row]), self.mask[row] & ~self.gone[row]))
            meet = int(self.meet[row])
            if first and meet != NOWHERE:  # below is the entry that waits at `meet`
                first -= 1
                there = self._stack_mask[row, first] & ~self.gone[row]
                ways.append((int(self._stack_pc[row, first]), there & ~np.any([m for _, m in ways], axis=0)))
                meet = int(self._stack_meet[row, first])
            at: dict[int, Array] = {}
            for pc, mask in ways:
                if mask.any():
                    at[pc] = at[pc] | mask if pc in at else mask
            self._put(row, first, meet, list(at.items()))
            if len(at) > 1:
                break
        self.parted[row] = self.depth[row] > 0

    def _meeting_top(self, row: int) -> tuple[int, list[tuple[int, Array]]]:
        """Return the entries that meet the lanes on top, lowest first, and the depth of that one.

        They lie right below those on top. Each is a place and the lanes that have not exited; some has one.
        """
        top = first = int(self.depth[row])
        while first and self._stack_meet[row, first - 1] == self.meet[row]:
            first -= 1
        ways = [
            (int(self._stack_pc[row, i]), self._stack_mask[row, i] & ~self.gone[row])
            for i in range(first, top)
        ]
        return first, [way for way in ways if way[1].any()]

    def _put(self, row: int, depth: int, meet: int, ways: list[tuple[int, Array]]) -> None:
        """Put ways that meet on a stack of this depth, the last on top."""
        self.depth[row] = depth
        *others, (pc, mask) = ways
        for place, lanes in others:
            self.push(np.array([row]), place, meet, lanes[None])
        self.pc[row], self.mask[row], self.meet[row] = pc, mask, meet
