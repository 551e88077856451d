"""Lanes that spin for others of their own warp give way to them, and warps that spin to other warps.

Who only waits in a loop has the same in all the loop's registers each time it comes round. Then nothing that
it does can end the loop, and what others do can, whom it may keep from doing it: on GPUs from Volta on all
lanes get on. (NVIDIA, CUDA C++ Programming Guide, Independent Thread Scheduling.)
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.program import Instruction, Operand, Pair, Register, Vector
from tinytorch.gpu.ptx.state import Registers, Warps

Array = np.ndarray[Any, Any]

#: Ways to load what others may have written meanwhile.
_FRESH = {"volatile", "acquire", "relaxed"}


def may_wait(loop: Sequence[Instruction]) -> bool:
    """Say whether a loop looks at what others may change meanwhile."""
    return any(
        i.opcode in ("atom", "mbarrier") or (i.opcode == "ld" and not _FRESH.isdisjoint(i.modifiers))
        for i in loop
    )


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
        warps = self._warps
        arrays = self._registers.arrays({name for i in loop for name in _results(i.operands[:1])})
        before = [np.zeros_like(array) for array in arrays]

        def come_round(rows: Array) -> None:
            same = self._at[rows] == index
            for array, last in zip(arrays, before, strict=True):
                now = array[rows]
                same &= (now == last[rows]).all(axis=1)
                last[rows] = now
            self._at[rows] = index
            self._rounds[rows] = np.where(same, self._rounds[rows] + 1, 0)
            for row in rows[same & (warps.depth[rows] > 0)]:
                warps.turn(row)
            # By then all lanes have had their turn.
            self.idle[rows] = self._rounds[rows] > warps.depth[rows] + 1

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
