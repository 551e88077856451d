"""Lanes that spin for others of their own warp give way to them, and warps that spin to other warps.

Who only waits in a loop has the same in all the loop's registers each time round. Then nothing that it does
can end the loop, and what others do can, whom it may keep from doing it: on GPUs from Volta on all lanes get
on. (NVIDIA, CUDA C++ Programming Guide, Independent Thread Scheduling.)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.program import Instruction, Operand, Pair, Register, Vector
from tinytorch.gpu.ptx.state import Registers, Warps

Array = np.ndarray[Any, Any]

#: Ways to load what others may have written meanwhile.
_FRESH = {"volatile", "acquire", "relaxed", "mmio", "cv"}
#: After so many rounds that saw the same a loop only waits, though its other registers change: it counts its
#: rounds. Not tuned: a loop that waits for nobody hardly ever sees as many alike.
_PATIENCE = 100


def may_wait(loop: Sequence[Instruction]) -> bool:
    """Say whether a loop looks at what others may change meanwhile."""
    return any(_looks(i) for i in loop)


def _looks(i: Instruction) -> bool:
    return i.opcode in ("atom", "mbarrier") or (i.opcode == "ld" and not _FRESH.isdisjoint(i.modifiers))


class _Before:
    """What warps had in the registers that some instructions write, when they last came by."""

    def __init__(self, registers: Registers, written: Iterable[Instruction]) -> None:
        self._now = registers.arrays({name for i in written for name in _results(i.operands[:1])})
        self._before = [np.zeros_like(array) for array in self._now]

    def again(self, rows: Array) -> Array:
        """Say which of these warps have the same as last time."""
        same = np.ones(len(rows), bool)
        for array, last in zip(self._now, self._before, strict=True):
            now = array[rows]
            same &= (now == last[rows]).all(axis=1)
            last[rows] = now
        return same


class Spinning:
    """Which warps come round in a loop as they did before; `idle` are those of which all lanes do."""

    def __init__(self, warps: Warps, registers: Registers) -> None:
        self._warps, self._registers = warps, registers
        self.idle = np.zeros(warps.count, bool)
        self._rounds = np.zeros(warps.count, np.int64)  # that changed nothing, one after the other
        self._at = np.zeros(warps.count, np.int64)  # the branch of the last one

    def start(self) -> None:
        """Begin anew."""
        self.idle[:] = False
        self._rounds[:] = 0

    def watch(self, index: int, loop: Sequence[Instruction]) -> Callable[[Array], None] | None:
        """Return what is to be told which warps have gone back at a branch; None for a loop that cannot wait.

        `index` is the branch's, and `loop` are the instructions from where it leads to the branch.
        """
        if not may_wait(loop):
            return None
        warps, rounds = self._warps, self._rounds
        looks = _Before(self._registers, [i for i in loop if _looks(i)])
        others = _Before(self._registers, [i for i in loop if not _looks(i)])
        stale = np.zeros(warps.count, np.int64)
        first, counts = index - len(loop), False

        def come_round(rows: Array) -> None:
            nonlocal counts
            seen = looks.again(rows) & (self._at[rows] >= first) & (self._at[rows] <= index)
            stale[rows] = np.where(seen, stale[rows] + 1, 0)
            same = others.again(rows) & seen
            counts |= bool(stale[rows].max(initial=0) > _PATIENCE)
            if counts:
                same = seen
            self._at[rows] = index
            rounds[rows] = np.where(same, rounds[rows] + 1, 0)
            for row in rows[same & (warps.depth[rows] > 0)]:
                warps.turn(row)
            # By then all lanes have had their turn.
            self.idle[rows] = rounds[rows] > warps.depth[rows] + 1

        return come_round


def _results(operands: Sequence[Operand]) -> Iterator[str]:
    """Yield the names of the registers that an instruction writes, from its first operand."""
    for operand in operands:
        if isinstance(operand, Register):
            yield operand.name
        elif isinstance(operand, Vector):
            yield from _results(operand.parts)
        elif isinstance(operand, Pair):
            yield from _results((operand.first, operand.second))
