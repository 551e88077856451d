"""The emulated GPU while it runs a batch of blocks: what every instruction's step works on.

It holds the warps, their registers, the memories, what is counted and what was found wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.ptx.counters import Access, Counters, Request, count_global, count_shared
from tinytorch.gpu.ptx.findings import Finding
from tinytorch.gpu.ptx.launch import (
    GLOBAL,
    LOCAL,
    PARAMETERS,
    SHARED,
    WINDOW,
    GlobalMemory,
    local_layout,
    shared_layout,
)
from tinytorch.gpu.ptx.memory import UNWRITTEN, Memory, Trouble
from tinytorch.gpu.ptx.names import Names
from tinytorch.gpu.ptx.operands import Operands, Reader
from tinytorch.gpu.ptx.program import Instruction, Kernel
from tinytorch.gpu.ptx.races import Races
from tinytorch.gpu.ptx.state import LANES, Group, Pieces, Registers, Warps
from tinytorch.runtime import units

Array = np.ndarray[Any, Any]

#: Characters that are kept of what a kernel prints.
MOST_PRINTED = 1 << 20
#: Between the shared memories of two blocks, so that none reaches into another's.
_APART = 256
#: Addresses below this are those of a null pointer, and of what would lie behind it.
_NULL = 1 << 16
#: What shared and local memory hold before anything is written: no number that looks right.
_GARBAGE = 0xFF
WINDOWS = {
    base >> WINDOW: name
    for base, name in ((GLOBAL, "global"), (SHARED, "shared"), (LOCAL, "local"), (PARAMETERS, "param"))
}


class Machine:
    """What steps work on. `size` is how many blocks run at once."""

    def __init__(
        self,
        kernel: Kernel,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        memory: GlobalMemory,
        parameters: Array,
        dynamic_shared: int,
        size: int,
        grain: int,
    ) -> None:
        self.kernel, self.grid, self.block = kernel, grid, block
        self.arrays, self.parameters = memory, parameters
        self.warps = Warps(size, block)
        self.registers = Registers(kernel, self.warps.count)
        shared_symbols, self.shared_bytes = shared_layout(kernel, dynamic_shared)
        local_symbols, self.local_bytes = local_layout(kernel)
        self.dynamic_shared = dynamic_shared
        self.stride = -(-(self.shared_bytes + _APART) // 1024) * 1024
        self.memories = {
            "global": memory.memory,
            "shared": Memory(size * self.stride),
            "local": Memory(self.warps.count * LANES * self.local_bytes),
        }
        self.memories["const"] = self.memories["global"]
        self.memories["param"] = Memory(len(parameters))
        self.memories["param"].put(0, parameters)
        fences = any(
            i.opcode in ("membar", "fence") and "proxy" not in i.modifiers for i in kernel.instructions
        )
        places = len(self.memories["shared"].data) // grain
        self.races = Races(size, self.warps.per_block, places, grain, fences)
        parameter_symbols = {p.name: p.offset for p in kernel.parameters}
        self.symbols = {**parameter_symbols, **memory.symbols, **shared_symbols, **local_symbols}
        self.spaces = {
            **dict.fromkeys(memory.symbols, "global"),
            **dict.fromkeys(shared_symbols, "shared"),
            **dict.fromkeys(local_symbols, "local"),
        }
        self.operands = Operands(self.registers, self.symbols, self._special)
        self.counters = Counters(len(kernel.instructions))
        self.findings: dict[tuple[str, int], Finding] = {}
        self.printed = Printed()
        self.rows = np.arange(self.warps.count)
        self._carry = np.zeros((self.warps.count, LANES), bool)
        self.running = 0  # blocks of the batch that there are
        self.block_ids = np.zeros((size, 3), np.int64)
        self._ctaid = np.zeros((3, self.warps.count, 1), np.int64)
        # By warp: what tells whether blocks agree.
        self.instructions_of = np.zeros(self.warps.count, np.int64)
        self.sectors_of = np.zeros(self.warps.count, np.int64)
        self.wavefronts_of = np.zeros(self.warps.count, np.int64)
        x, y, _ = block
        self._tid = [self.warps.thread % x, self.warps.thread // x % y, self.warps.thread // (x * y)]
        self._names = Names(memory.allocations)

    def start(self, blocks: Sequence[int]) -> None:
        """Make ready for blocks by their numbers in the grid, x fastest."""
        gx, gy, _ = self.grid
        ids = np.array([(b % gx, b // gx % gy, b // (gx * gy)) for b in blocks], np.int64)
        self.running = len(blocks)
        self.block_ids[: len(blocks)] = ids
        self.warps.start(len(blocks))
        self.registers.clear()
        self._ctaid[:] = self.block_ids[self.warps.block].T[:, :, None]
        for counts in (self.instructions_of, self.sectors_of, self.wavefronts_of):
            counts[:] = 0
        shared, local = self.memories["shared"], self.memories["local"]
        for memory in (shared, local):
            memory.data[: memory.sink] = _GARBAGE
            memory.state[: memory.sink] = UNWRITTEN if memory is local else 0
        if self.shared_bytes:
            for block in range(len(blocks)):
                shared.allow(block * self.stride, self.shared_bytes)
            self.races.start()

    def rows_of(self, group: Group) -> Array:
        """Return the rows of a group's warps."""
        return self.rows if group.rows is None else group.rows

    def carry_reader(self, group: Group) -> Array:
        """Return the carry flag of add.cc and its like."""
        return group.of(self._carry)

    def carry_writer(self, group: Group, value: Array) -> None:
        """Set the carry flag of the active lanes."""
        rows = self.rows_of(group)
        self._carry[rows] = np.where(group.mask, value, self._carry[rows])

    # Special registers

    def _special(self, name: str) -> Reader | None:
        base, _, part = name.partition(".")
        axis = "xyz".find(part) if part else -1
        if base == "%tid" and axis >= 0:
            return lambda group: group.of(self._tid[axis])
        if base == "%ctaid" and axis >= 0:
            return lambda group: group.of(self._ctaid[axis])
        lanes = np.arange(LANES)[None]
        one = np.int64(1)
        fixed: dict[str, Any] = {
            "%ntid": self.block[axis] if axis >= 0 else None,
            "%nctaid": self.grid[axis] if axis >= 0 else None,
            "%laneid": lanes,
            "%lanemask_eq": one << lanes,
            "%lanemask_lt": (one << lanes) - 1,
            "%lanemask_le": (one << lanes + 1) - 1,
            "%lanemask_gt": 0xFFFFFFFF & ~((one << lanes + 1) - 1),
            "%lanemask_ge": 0xFFFFFFFF & ~((one << lanes) - 1),
            "%dynamic_smem_size": self.dynamic_shared,
            "%total_smem_size": self.shared_bytes,
            "%cluster_ctarank": 0,
            "%cluster_nctarank": 1,
            "%cluster_ctaid": 0,
            "%cluster_nctaid": 1,
            "WARP_SZ": LANES,
        }
        if base == "%warpid":  # PTX promises only that it tells apart the warps of a block
            return lambda group: group.of(self.warps.rank)[:, None]
        if fixed.get(base) is not None:
            value = np.atleast_2d(np.asarray(fixed[base], np.int64))
            return lambda group: value
        return None

    # Places in memory

    def place(
        self, space: str, group: Group, addresses: Array, dtype: str, parts: int, read: bool, step: "Spot"
    ) -> tuple[Array, Array | None, Array]:
        """Return rows of memory, the lanes that may use them (None for all), and offsets in the memory.

        `addresses` are within the space, (n, 32) int64. What is wrong with them is noted as found.
        """
        memory, active = self.memories[space], group.active
        if space == "shared":
            offsets = self._shared_offsets(group, addresses)
        elif space == "local":
            slots = self.rows_of(group)[:, None] * LANES + np.arange(LANES)
            inside = (addresses >= 0) & (addresses < max(self.local_bytes, 1))
            offsets = np.where(inside, slots * self.local_bytes + addresses, -1)
        elif space == "param":
            offsets = addresses
        else:
            offsets = addresses - GLOBAL
        rows, trouble = memory.place(offsets, active, dtype, parts, read)
        if trouble is not None:
            active = self._found(trouble, group, addresses, space, step)
        return rows, active, offsets

    def _shared_offsets(self, group: Group, addresses: Array) -> Array:
        base = (group.of(self.warps.block) * self.stride)[:, None]
        offsets = base + addresses
        if addresses.size and (addresses.min() < 0 or addresses.max() >= self.stride):
            offsets = np.where((addresses >= 0) & (addresses < self.stride), offsets, -1)
        return offsets

    def _found(
        self, trouble: Trouble, group: Group, addresses: Array, space: str, step: "Spot"
    ) -> Array | None:
        active = group.mask
        for kind, lanes in (
            ("misaligned", trouble.misaligned),
            ("out of bounds", trouble.outside),
            ("read before written", trouble.unwritten),
        ):
            if lanes is None or not (lanes & group.mask).any():
                continue
            self.report(kind, step, group, lanes & group.mask, addresses, space)
            if kind != "read before written":
                active = active & ~lanes
        return active

    def report(
        self, kind: str, step: "Spot", group: Group, lanes: Array, addresses: Array | None, space: str = ""
    ) -> None:
        """Note what is wrong with some lanes of a group, (n, 32) bool, at an instruction."""
        many = int(np.count_nonzero(lanes))
        key = (kind, step.index)
        if key in self.findings:
            self.findings[key].count += many
            return
        row, lane = (int(i[0]) for i in np.nonzero(lanes))
        warp = int(self.rows_of(group)[row])
        address = None if addresses is None else int(np.broadcast_to(addresses, lanes.shape)[row, lane])
        lane = 0 if isinstance(group, Pieces) else lane
        thread = self.thread(warp, lane)
        near = "" if address is None else self._near(space, address)
        if address is not None:
            address &= (1 << 64) - 1
        self.findings[key] = Finding(
            kind,
            step.instruction,
            tuple(int(i) for i in self.block_ids[self.warps.block[warp]]),  # type: ignore[arg-type]
            thread,
            lane,
            address,
            near,
            many,
        )

    def thread(self, warp: int, lane: int) -> tuple[int, int, int]:
        """Return the place of a lane in its block."""
        x, y, z = (int(axis[warp, lane]) for axis in self._tid)
        return x, y, z

    def report_race(self, spot: "Spot", group: Group, racing: Array, offsets: Array) -> None:
        """Note lanes that race, if any do. `offsets` are in the batch's shared memory."""
        if racing.any():
            base = (group.of(self.warps.block) * self.stride)[:, None]
            self.report("race", spot, group, racing, offsets - base, "shared")

    def _near(self, space: str, address: int) -> str:
        if space == "shared":
            return f"a block has {units.size(self.shared_bytes)} of shared memory"
        if space == "local":
            return f"a thread has {units.size(self.local_bytes)} of local memory"
        return "a null pointer" if 0 <= address < _NULL else self._names.near(address - GLOBAL)

    # Counting

    def count(self, space: str, group: Group, access: Access, addresses: Array, active: Array | None) -> None:
        """Count one request of each warp, with what it costs in the memory that it goes to."""
        if space in ("local", "param") or not group.n:
            if group.n:
                access.requests += int(np.count_nonzero(group.mask.any(axis=1)))
                access.lanes += group.lanes
            return
        lanes = group.mask if active is None else active
        rows = self.rows_of(group)
        if space == "shared":
            cost = count_shared(access, addresses, lanes)
            self.wavefronts_of[rows] += cost
        else:
            cost = count_global(access, addresses, lanes)
            self.sectors_of[rows] += cost
            self.name_arrays(access, addresses - GLOBAL, lanes, cost > 0)
        highest = int(cost.max())
        if highest and (access.worst is None or highest > access.worst.cost):
            row = int(cost.argmax())
            self._keep(access, rows[row], addresses[row], lanes[row], highest)

    def name_arrays(self, access: Access, offsets: Array, lanes: Array, made: Array) -> None:
        """Count which arrays requests go to, by each one's first lane. `offsets` are in global memory."""
        first = offsets[np.arange(len(offsets)), lanes.argmax(axis=1)][made]
        for name, number in self._names.count(first):
            access.arrays[name] += number

    def _keep(self, access: Access, warp: int, addresses: Array, lanes: Array, cost: int) -> None:
        x, y, z = self.block_ids[self.warps.block[warp]]
        access.worst = Request(
            int(x + self.grid[0] * (y + self.grid[1] * z)),
            int(self.warps.rank[warp]),
            tuple(int(a) if on else None for a, on in zip(addresses, lanes, strict=True)),
            cost,
        )


class Printed:
    """What a kernel printed; of a great deal the beginning."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = MOST_PRINTED

    def append(self, text: str) -> None:
        """Add what one thread printed."""
        if self._left > 0:
            self._parts.append(text[: self._left])
            self._left -= len(text)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._parts)


class Spot:
    """An instruction and its index: what counters and findings are kept by."""

    __slots__ = ("index", "instruction")

    def __init__(self, instruction: Instruction, index: int) -> None:
        self.instruction, self.index = instruction, index
