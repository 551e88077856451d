"""Which warps run next, and where their lanes go: branches, exits, barriers.

The instructions are cut into segments that are run from end to end: at branches, where paths meet, and after
barriers. Warps that stand at one segment run it together, whatever block they are of. The segment that comes
first in the text goes first, so that those ahead are caught up with, but for warps that only spin; and now
and then the warps that have waited longest go, so that none can keep another from running.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.barriers import Barrier, Barriers, barrier_of
from tinytorch.gpu.ptx.counters import Branch
from tinytorch.gpu.ptx.flow import TOGETHER, Flow, label_of
from tinytorch.gpu.ptx.machine import Machine
from tinytorch.gpu.ptx.operands import Reader
from tinytorch.gpu.ptx.program import Instruction, Kernel, NotCoveredError, PtxError, Symbol
from tinytorch.gpu.ptx.spinning import Spinning, may_wait
from tinytorch.gpu.ptx.state import DONE, LANES, NOWHERE, RUNNING, Group
from tinytorch.runtime.errors import InputError

Array = np.ndarray[Any, Any]
Step = Callable[[Group], None]

#: Every so many choices the warps that have waited longest are chosen. Not tuned: a lower number serves locks
#: that many warps want, a higher one keeps groups together.
_TURNS = 64
#: Instructions that name the lanes that take part, last of all.
_MASKED = ("shfl", "vote", "match", "redux", "elect")
#: A few warps take as long as so many: the limit of instructions is there to end what takes long.
_FEW = 16


class StepLimitError(InputError):
    """A kernel has run more instructions than it may."""


@dataclass(frozen=True)
class _Segment:
    start: int
    end: int
    steps: Sequence[Step]
    finish: Step  # sets where its warps go


class Control:
    """Runs the warps of a machine to their end."""

    def __init__(
        self, machine: Machine, flow: Flow, decode: Callable[[Instruction, int], Step], limit: int
    ) -> None:
        self._machine, self._flow, self._limit = machine, flow, limit
        self.barriers = Barriers(machine)
        self._spinning = Spinning(machine.warps, machine.registers)
        self._segments: dict[int, _Segment] = {}
        self._left = limit
        for start, end in _cuts(machine.kernel, flow):
            self._segments[start] = self._segment(start, end, decode)
        end = len(machine.kernel.instructions)
        self._segments[end] = _Segment(end, end, [], self._leave)  # who comes to the end is done
        self._last = np.zeros(machine.warps.count, np.int64)
        self._waited = np.zeros(machine.warps.count, np.int64)  # turns that no lane of a warp has used

    def start(self) -> None:
        """Begin anew; the limit of instructions goes on counting."""
        self.barriers.start()
        self._spinning.start()
        self._last[:] = 0
        self._waited[:] = 0

    def run(self) -> None:
        """Run until all warps are done. Raises StepLimitError, StoppedError, NotCoveredError, PtxError."""
        warps, choice = self._machine.warps, 0
        while True:
            running = warps.doing == RUNNING
            able = np.flatnonzero(running)
            if not len(able):
                if (warps.doing == DONE).all():
                    return
                raise self.barriers.stuck()
            choice += 1
            pcs = warps.pc[able]
            if choice % _TURNS:
                busy = ~self._spinning.idle[able]
                pc = int((pcs[busy] if busy.any() else pcs).min())
            else:
                pc = int(pcs[self._last[able].argmin()])
            rows = able[pcs == pc]
            self._last[rows] = choice
            met = rows[warps.meet[rows] == pc]
            if len(met):
                self._spinning.idle[met] = False
                warps.pop(met)  # what waited on their stacks goes on: here, as a rule
                continue
            rows = self._ready(pc, rows)
            if len(rows):
                self._spinning.idle[rows] = False
                self._waited[rows] = 0
                self._run(pc, rows, len(able))

    def _ready(self, pc: int, rows: Array) -> Array:
        """Return which warps run; lanes that have spun apart wait for each other before they exchange."""
        warps, instructions = self._machine.warps, self._machine.kernel.instructions
        parted = rows[warps.parted[rows]]
        if not len(parted) or pc == len(instructions) or instructions[pc].opcode not in TOGETHER:
            return rows
        waiting = []
        for row in parted:
            expected = warps.there[row] & ~warps.gone[row] & self._named(instructions[pc], row)
            # After so many turns all others have come to such a place, too, and wait.
            if (expected & ~warps.mask[row]).any() and self._waited[row] <= LANES + warps.depth[row]:
                self._spend(_FEW, pc)
                self._waited[row] += 1
                warps.turn(row)
                waiting.append(row)
        return np.setdiff1d(rows, waiting)

    def _named(self, instruction: Instruction, row: int) -> Array:
        """Return the lanes that those on top of a warp's stack do something together with, themselves too."""
        if instruction.opcode == "bar" and "warp" in instruction.modifiers:
            mask = instruction.operands[0]
        elif instruction.opcode in _MASKED and "sync" in instruction.modifiers:
            mask = instruction.operands[-1]
        else:
            return np.ones(LANES, bool)
        lanes = self._machine.warps.mask[row][None]
        group = Group(np.array([row]), lanes, int(np.count_nonzero(lanes)))
        bits = np.broadcast_to(self._machine.operands.reader(instruction, mask, "u4")(group), lanes.shape)
        return (np.bitwise_or.reduce(bits[lanes]) >> np.arange(LANES, dtype=np.uint32) & 1).astype(bool)

    def _run(self, pc: int, rows: Array, able: int) -> None:
        """Run segments from one on, for as long as the same warps stay together and nobody can join them."""
        machine, warps = self._machine, self._machine.warps
        everyone = len(rows) == warps.count
        alone = len(rows) == able
        while True:
            segment = self._segments[pc]
            mask = warps.mask if everyone else warps.mask[rows]
            lanes = int(np.count_nonzero(mask))
            group = Group(None if everyone else rows, mask, lanes)
            part = slice(segment.start, segment.end)
            counters = machine.counters
            counters.warps[part] += len(rows)
            counters.active[part] += lanes
            counters.on[part] += lanes
            machine.instructions_of[rows] += segment.end - segment.start
            self._spend(max(len(rows), _FEW) * (segment.end - segment.start), segment.start)
            for step in segment.steps:
                step(group)
            segment.finish(group)
            if not alone or warps.parted.any() or not (warps.doing[rows] == RUNNING).all():
                return
            pcs = warps.pc[rows]
            pc = int(pcs[0])
            if (pcs != pc).any() or (warps.meet[rows] == pc).any() or (warps.doing == RUNNING).sum() != able:
                return

    def _spend(self, instructions: int, index: int) -> None:
        """Count instructions against the limit."""
        self._left -= instructions
        if self._left >= 0:
            return
        instruction = self._machine.kernel.instructions[index]
        raise StepLimitError(
            f"{self._machine.kernel.name} still runs at the limit of {self._limit:,} warp instructions, at "
            f"{instruction.place} (it ran {self._machine.counters.executed:,}; one that fewer than {_FEW} "
            f"warps run together counts as {_FEW}): an endless loop, or lanes of one warp that wait for each "
            "other? Else fewer blocks of the grid (blocks=, --blocks) or a higher limit (steps=, --steps) "
            "would do"
        )

    # Segments

    def _segment(self, start: int, end: int, decode: Callable[[Instruction, int], Step]) -> _Segment:
        instructions = self._machine.kernel.instructions
        last = instructions[end - 1]
        finish = self._finish(last, end - 1)
        steps = [self._guarded(instructions[i], i, decode) for i in range(start, end - (finish is not None))]
        if finish is None:
            finish = self._fall(end)
        return _Segment(start, end, [step for step in steps if step is not nothing], finish)

    def _guarded(
        self, instruction: Instruction, index: int, decode: Callable[[Instruction, int], Step]
    ) -> Step:
        try:
            step = decode(instruction, index)
        except NotCoveredError as error:
            step = _refusing(error)
        guard = self._guard(instruction)
        if guard is None or step is nothing:
            return step
        on = self._machine.counters.on

        def run(group: Group) -> None:
            some = group.where(guard(group))
            on[index] += some.lanes - group.lanes
            if some.lanes:
                step(some)

        return run

    def _guard(self, instruction: Instruction) -> Reader | None:
        if instruction.guard is None:
            return None
        plain = self._machine.operands.reader(instruction, instruction.guard, "?")
        return (lambda group: ~plain(group)) if instruction.guard_negated else plain

    def _fall(self, end: int) -> Step:
        warps = self._machine.warps

        def finish(group: Group) -> None:
            warps.pc[self._machine.rows_of(group)] = end

        return finish

    def _finish(self, instruction: Instruction, index: int) -> Step | None:
        """Return how an instruction ends a segment; None if it does not by itself."""
        maker = {
            **{"bra": self._branch, "brx": self._jump_table, "trap": self._trap},
            **{"exit": self._exit, "ret": self._exit},
        }.get(instruction.opcode)
        if maker is not None:
            return maker(instruction, index)
        barrier = barrier_of(self._machine, instruction, index)
        if barrier is None:
            return None
        guard = self._guard(instruction)
        if guard is None:
            return lambda group: self.barriers.come(barrier, group, index + 1)
        return self._guarded_barrier(barrier, guard, index)

    def _guarded_barrier(self, barrier: Barrier, guard: Reader, index: int) -> Step:
        machine, warps = self._machine, self._machine.warps

        def finish(group: Group) -> None:
            coming = group.mask & guard(group)
            machine.counters.on[index] += int(np.count_nonzero(coming)) - group.lanes
            rows, some = machine.rows_of(group), coming.any(axis=1)
            warps.pc[rows[~some]] = index + 1
            if some.any():
                mask = coming[some]
                self.barriers.come(barrier, Group(rows[some], mask, int(np.count_nonzero(mask))), index + 1)

        return finish

    def _branch(self, instruction: Instruction, index: int) -> Step:
        machine, warps = self._machine, self._machine.warps
        label = instruction.operands[0]
        if not isinstance(label, Symbol):
            raise NotCoveredError(instruction)
        target, onward = machine.kernel.labels[label.name], index + 1
        guard = self._guard(instruction)
        come_round = self._spinning.watch(index, machine.kernel.instructions[target:index])
        if guard is None:

            def always(group: Group) -> None:
                rows = machine.rows_of(group)
                warps.pc[rows] = target
                if come_round is not None:
                    come_round(rows)

            return always
        meet = self._meeting(index)
        # Who leaves the kernel goes first: others may come to a barrier, which does not wait for who is gone.
        onward_first = self._leads_out(onward) and not self._leads_out(target)
        branch = machine.counters.branches.setdefault(index, Branch(instruction, index))
        on = machine.counters.on

        def finish(group: Group) -> None:
            taken = group.mask & guard(group)
            count = int(np.count_nonzero(taken))
            on[index] += count - group.lanes
            branch.executed += group.n
            rows = machine.rows_of(group)
            if count in (0, group.lanes):
                warps.pc[rows] = target if count else onward
            else:
                some, others = taken.any(axis=1), (group.mask & ~taken).any(axis=1)
                warps.pc[rows] = np.where(some, target, onward)
                parted = some & others
                if parted.any():
                    branch.divergent += int(np.count_nonzero(parted))
                    ways = (onward, target) if onward_first else (target, onward)
                    first = (group.mask & ~taken if onward_first else taken)[parted]
                    warps.diverge(rows[parted], first, *ways, meet)
            if come_round is not None:
                come_round(rows[warps.pc[rows] == target])

        return finish

    def _leads_out(self, index: int) -> bool:
        block = self._flow.block_of(index)
        return block == len(self._flow.blocks) or self._flow.leads_out[block]

    def _meeting(self, index: int) -> int:
        """Return the instruction where lanes that part at one meet again, or NOWHERE."""
        flow = self._flow
        block = flow.post_dominators[flow.block_of(index)]
        return flow.blocks[block].start if block < len(flow.blocks) else NOWHERE

    def _jump_table(self, instruction: Instruction, index: int) -> Step:
        machine, warps = self._machine, self._machine.warps
        if instruction.guard is not None:
            return _refusing(NotCoveredError(instruction, "a guard"))
        read = machine.operands.reader(instruction, instruction.operands[0], "u4")
        name = instruction.operands[1]
        if not isinstance(name, Symbol):
            raise NotCoveredError(instruction)
        labels = machine.kernel.tables[name.name]
        targets = np.array([machine.kernel.labels[label] for label in labels])
        meet = self._meeting(index)
        branch = machine.counters.branches.setdefault(index, Branch(instruction, index))

        def finish(group: Group) -> None:
            chosen = np.broadcast_to(read(group), group.mask.shape).astype(np.int64)
            if (chosen[group.mask] >= len(targets)).any():
                raise PtxError(
                    f"line {instruction.line} of the PTX: an index beyond its {len(targets)} labels"
                )
            places = targets[np.where(group.mask, chosen, 0)]
            branch.executed += group.n
            rows = machine.rows_of(group)
            for row, mask, here in zip(rows, group.mask.copy(), places, strict=True):
                different = np.unique(here[mask])
                if len(different) == 1:
                    warps.pc[row] = different[0]
                else:
                    branch.divergent += 1
                    warps.scatter(row, [(int(place), mask & (here == place)) for place in different], meet)

        return finish

    def _leave(self, group: Group) -> None:
        """Let all lanes of a group exit."""
        warps, rows = self._machine.warps, self._machine.rows_of(group)
        warps.gone[rows] |= group.mask
        warps.pop(rows)
        self.barriers.release()

    def _exit(self, instruction: Instruction, index: int) -> Step:
        machine, warps = self._machine, self._machine.warps
        guard = self._guard(instruction)
        on = machine.counters.on

        def finish(group: Group) -> None:
            rows = machine.rows_of(group)
            leaving = group.mask if guard is None else group.mask & guard(group)
            if guard is not None:
                count = int(np.count_nonzero(leaving))
                on[index] += count - group.lanes
                if not count:
                    warps.pc[rows] = index + 1
                    return
            warps.gone[rows] |= leaving
            left = group.mask & ~leaving
            warps.mask[rows] = left
            warps.pc[rows] = index + 1
            warps.pop(rows[~left.any(axis=1)])
            self.barriers.release()

        return finish

    def _trap(self, instruction: Instruction, index: int) -> Step:
        machine = self._machine
        guard = self._guard(instruction)

        def finish(group: Group) -> None:
            lanes = group if guard is None else group.where(guard(group))
            if lanes.lanes:
                row = int(np.flatnonzero(lanes.mask.any(axis=1))[0])
                warp = int(machine.rows_of(group)[row])
                block = tuple(int(i) for i in machine.block_ids[machine.warps.block[warp]])
                rank = int(machine.warps.rank[warp])
                raise PtxError(
                    f"{instruction.place}: a trap was reached (an assertion?) in block {block}, warp {rank}"
                )
            machine.warps.pc[machine.rows_of(group)] = index + 1

        return finish


def nothing(group: Group) -> None:
    """Do nothing: of an instruction that only orders, hints or waits for what is done at once here."""


def _refusing(error: NotCoveredError) -> Step:
    """Return a step that raises when it is reached: what is not covered matters only where it is run."""

    def step(group: Group) -> None:
        raise error

    return step


def _cuts(kernel: Kernel, flow: Flow) -> list[tuple[int, int]]:
    """Cut blocks after barriers; and before all that lanes do together, where they may come one by one."""
    instructions, found = kernel.instructions, []
    apart = any(
        may_wait(instructions[kernel.labels[label_of(branch)] : index])
        for index, branch in enumerate(instructions)
        if branch.opcode == "bra"
    )
    for block in flow.blocks:
        begin = block.start
        for index in range(block.start, block.end):
            here = instructions[index]
            if apart and here.opcode in TOGETHER and begin < index:
                found.append((begin, index))
                begin = index
            if here.opcode in ("bar", "barrier") and "warp" not in here.modifiers:
                found.append((begin, index + 1))
                begin = index + 1
        if begin < block.end:
            found.append((begin, block.end))
    return found
