"""What is wrong with a kernel, as found while it ran: where, by which thread, at which address."""

from dataclasses import dataclass

from tinytorch.gpu.ptx.program import Instruction

#: Kinds of findings, and what each says.
KINDS = {
    "out of bounds": "touches memory that belongs to no array",
    "misaligned": "is at an address that is no multiple of its width",
    "read before written": "reads memory that nothing was written to",
    "race": "touches shared memory that another warp uses with no barrier between",
    "divergent barrier": "is a barrier that not all threads of the warp reach",
    "barrier not reached": "is a barrier that some warps wait at and others never reach",
    "no mbarrier": "uses an mbarrier object that was not initialized, or has too many arrivals",
    "lanes missing": "names lanes in its mask that do not execute it",
}


@dataclass
class Finding:
    """One thing that is wrong, at the first place where it was met; `count` tells how often it was."""

    kind: str
    instruction: Instruction
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    lane: int
    address: int | None  # None for what has none, as a barrier
    near: str  # the array that the address is in or next to, and what else helps
    count: int = 1

    def __str__(self) -> str:
        """Return it in one line, as a checker prints it."""
        address = "" if self.address is None else f" at {self.address:#x}"
        near = f" ({self.near})" if self.near else ""
        often = "" if self.count == 1 else f", {self.count} times in all"
        at = self.instruction
        return (
            f"{self.kind}: {at.place}: {at.name} {KINDS[self.kind]}{address}{near}: "
            f"block {self.block}, thread {self.thread}, lane {self.lane}{often}"
        )
