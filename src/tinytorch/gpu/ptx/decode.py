"""What each instruction does: the step that carries it out, by its opcode."""

from collections.abc import Callable

import numpy as np

from tinytorch.gpu.ptx.atomics import atomic
from tinytorch.gpu.ptx.bulk import arrive_after_copies, bulk_step, mbarrier_step
from tinytorch.gpu.ptx.compute import compute, warp_barrier
from tinytorch.gpu.ptx.control import Step, nothing
from tinytorch.gpu.ptx.copies import Copies
from tinytorch.gpu.ptx.fragments_in_memory import wmma
from tinytorch.gpu.ptx.machine import Machine
from tinytorch.gpu.ptx.operands import counted
from tinytorch.gpu.ptx.program import Instruction
from tinytorch.gpu.ptx.system import system_call
from tinytorch.gpu.ptx.tensormaps import tensormap
from tinytorch.gpu.ptx.transfers import convert_address, is_space, load, store

#: What has no effect here: memory is always in order and seen by all, caches and power are not there.
_WITHOUT_EFFECT = {
    *("membar", "fence", "prefetch", "prefetchu", "discard", "applypriority", "nanosleep", "pmevent"),
    *("setmaxnreg", "griddepcontrol"),
}


class Decoder:
    """Makes steps for a machine."""

    def __init__(self, machine: Machine, copies: Copies) -> None:
        self._machine, self._copies = machine, copies
        self._makers: dict[str, Callable[[Machine, Instruction, int], Step]] = {
            **{"ld": load, "ldu": load, "st": store, "atom": atomic, "red": atomic},
            **{"cvta": convert_address, "isspacep": is_space, "mbarrier": mbarrier_step},
            **{"bar": warp_barrier, "barrier": warp_barrier},  # of blocks Control takes care
            **{"cp": self._copy, "createpolicy": _policy, "call": system_call},
            **{"tensormap": tensormap, "wmma": wmma},
        }

    def __call__(self, instruction: Instruction, index: int) -> Step:
        """Return the step of an instruction. Raises NotCoveredError."""
        if _without_effect(instruction):
            return nothing
        return self._makers.get(instruction.opcode, compute)(self._machine, instruction, index)

    def _copy(self, machine: Machine, instruction: Instruction, index: int) -> Step:
        kind = instruction.modifiers[1] if len(instruction.modifiers) > 1 else ""
        if kind == "mbarrier":
            return arrive_after_copies(machine, self._copies, instruction, index)
        if kind == "bulk":
            return bulk_step(machine, instruction, index)
        return self._copies.step(instruction, index)


def _without_effect(instruction: Instruction) -> bool:
    """Say whether it only orders, hints, or waits for what is done at once here."""
    words = instruction.modifiers
    return (
        instruction.opcode in _WITHOUT_EFFECT
        # Clusters are of one block here.
        or (instruction.opcode == "barrier" and "cluster" in words)
        # Products are ready when they are issued, and boxes moved.
        or (instruction.opcode == "wgmma" and words[:1] in (("fence",), ("commit_group",), ("wait_group",)))
        or (words[:2] == ("async", "bulk") and words[2:3] in (("commit_group",), ("wait_group",)))
    )


def _policy(machine: Machine, instruction: Instruction, index: int) -> Step:
    policy, *_ = counted(instruction, 1, 2, 3, 4)
    write = machine.operands.writer(instruction, policy, "u8")
    zero = np.zeros((1, 1), np.uint64)
    return lambda group: write(group, zero)
