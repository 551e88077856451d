"""PTX run by each thread for itself, in plain Python: what the emulator is held against.

A thread runs until it must wait for others: at a barrier for its block, at a shuffle or vote for its warp.
There are no masks, no stacks and no arrays; of control flow it knows only where each thread goes next.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.gpu.ptx.lanes import bits, evaluate, number, width
from tinytorch.gpu.ptx.program import (
    Address,
    Immediate,
    Instruction,
    Kernel,
    Not,
    Operand,
    Pair,
    Register,
    Special,
    Symbol,
    Vector,
)

#: Where each space begins as a generic address; not where the emulator has them.
_SHARED, _LOCAL = 1 << 50, 1 << 51
_ACROSS = ("shfl", "vote", "match", "redux", "activemask")


@dataclass
class Counts:
    """Of each instruction: lanes that come to it, those whose guard holds, and the warps' visits.

    A visit is a warp in one trip through the loops around the instruction: lanes that are in the same trip
    and part meet again within it, so they come together.
    """

    active: Counter[int] = field(default_factory=Counter)
    on: Counter[int] = field(default_factory=Counter)
    visits: dict[int, set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))


@dataclass
class Waiting:
    """What a thread waits with: the instruction, what it gives, and what it gets."""

    instruction: Instruction
    given: list[int]


def interpret(
    kernel: Kernel,
    grid: int,
    block: tuple[int, int, int],
    memory: Mapping[int, bytearray],
    parameters: Mapping[str, int],
    loops: Sequence[tuple[str, str]] = (),
) -> Counts:
    """Run a kernel; `memory` holds global memory by the address of each array, and is changed.

    `loops` are labels: of the head of a loop and of what follows it.
    """
    counts = Counts()
    ranges = [(kernel.labels[head], kernel.labels[end]) for head, end in loops]
    around = [
        tuple(n for n, (head, end) in enumerate(ranges) if head <= i < end)
        for i in range(len(kernel.instructions) + 1)
    ]
    x, y, z = block
    for number_of_block in range(grid):
        shared = bytearray(_extent(kernel, "shared"))
        threads = [
            Thread(
                kernel, (i % x, i // x % y, i // (x * y)), number_of_block, block, memory, parameters, shared
            )
            for i in range(x * y * z)
        ]
        _run_block([t.run(counts, number_of_block, i // 32, ranges, around) for i, t in enumerate(threads)])
    return counts


def _run_block(threads: list[Iterator[Waiting]]) -> None:
    """Run the threads of a block; those that wait go on when all that are left of their group wait."""
    waiting: dict[int, Waiting] = {}
    alive = set(range(len(threads)))
    ready: dict[int, list[int] | None] = dict.fromkeys(alive)
    while alive:
        for i, got in ready.items():
            try:
                waiting[i] = threads[i].send(got)  # type: ignore[attr-defined]
            except StopIteration:
                alive.discard(i)
                waiting.pop(i, None)
        ready = _released(waiting, alive)
        assert ready or not alive, "threads wait for each other"


def _released(waiting: dict[int, Waiting], alive: set[int]) -> dict[int, list[int] | None]:
    found: dict[int, list[int] | None] = {}
    for warp in {i // 32 for i in alive}:
        lanes = sorted(i for i in alive if i // 32 == warp)
        if any(waiting[i].instruction.opcode not in _ACROSS for i in lanes):
            continue
        assert len({waiting[i].instruction.line for i in lanes}) == 1
        found.update(across(waiting[lanes[0]].instruction, {i: waiting[i].given for i in lanes}))
    if not found and all(waiting[i].instruction.opcode not in _ACROSS for i in alive):
        votes = {i: waiting[i].given for i in alive}
        for i in alive:
            found[i] = _voted(waiting[i].instruction, list(votes.values()))
    return found


def _voted(barrier: Instruction, votes: list[list[int]]) -> list[int]:
    if "red" not in barrier.modifiers:
        return []
    held = [vote[-1] for vote in votes]
    kind = next(m for m in barrier.modifiers if m in ("popc", "and", "or"))
    return [{"popc": sum(held), "and": int(all(held)), "or": int(any(held))}[kind]]


# What the lanes of a warp do together


def across(instruction: Instruction, given: Mapping[int, list[int]]) -> dict[int, list[int]]:
    """Return each thread's results, from what the threads of a warp that are left give."""
    return {i: _ACROSS_OF[instruction.opcode](instruction, given, i) for i in given}


def _shuffled(instruction: Instruction, given: Mapping[int, list[int]], i: int) -> list[int]:
    """As the ISA's own pseudocode has it; a lane that is not there gives nothing: one keeps its own."""
    mode, (value, b, c, *_), lane = instruction.modifiers[1], given[i], i % 32
    clamp, segment, b = c & 31, c >> 8 & 31, b & 31
    highest = (lane & segment) | (clamp & ~segment & 31)
    lowest = lane & segment
    if mode == "up":
        j = lane - b
        inside = j >= highest
    elif mode == "down":
        j = lane + b
        inside = j <= highest
    elif mode == "bfly":
        j = lane ^ b
        inside = j <= highest
    else:
        j = lowest | (b & ~segment & 31)
        inside = j <= highest
    other = i - lane + (j if inside else lane)
    return [given[other][0] if other in given else value, int(inside)]


def _vote(instruction: Instruction, given: Mapping[int, list[int]], i: int) -> list[int]:
    votes = [values[0] for values in given.values()]
    ballot = sum(values[0] << j % 32 for j, values in given.items())
    uniform = len(set(votes)) == 1
    kinds = {"ballot": ballot, "all": int(all(votes)), "any": int(any(votes)), "uni": int(uniform)}
    return [kinds[instruction.modifiers[1]]]


def _matched(instruction: Instruction, given: Mapping[int, list[int]], i: int) -> list[int]:
    return [sum(1 << j % 32 for j, values in given.items() if values[0] == given[i][0])]


_REDUCTIONS: Mapping[str, Callable[[int, int], int]] = {
    **{"add": lambda a, b: a + b, "min": min, "max": max},
    **{"and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b},
}


def _reduced(instruction: Instruction, given: Mapping[int, list[int]], i: int) -> list[int]:
    operation, kind = instruction.modifiers[1:]
    first, *rest = (number(values[0], kind) for values in given.values())
    for value in rest:
        first = _REDUCTIONS[operation](first, value)
    return [bits(first, kind)]


_ACROSS_OF: Mapping[str, Callable[[Instruction, Mapping[int, list[int]], int], list[int]]] = {
    **{"shfl": _shuffled, "vote": _vote, "match": _matched, "redux": _reduced},
    "activemask": lambda instruction, given, i: [sum(1 << j % 32 for j in given)],
}


# One thread


class Thread:
    """The registers and memories that one thread sees."""

    def __init__(
        self,
        kernel: Kernel,
        place: tuple[int, int, int],
        number_of_block: int,
        block: tuple[int, int, int],
        memory: Mapping[int, bytearray],
        parameters: Mapping[str, int],
        shared: bytearray,
    ) -> None:
        self._kernel, self._parameters = kernel, parameters
        self._registers: dict[str, int] = dict.fromkeys(kernel.registers, 0)
        self._carry = 0
        self._memory = {**memory, _SHARED: shared, _LOCAL: bytearray(_extent(kernel, "local"))}
        self._symbols = {**_layout(kernel, "shared"), **_layout(kernel, "local")}
        self._specials = {"%ctaid.x": number_of_block}
        for axis, position, size in zip("xyz", place, block, strict=True):
            self._specials |= {f"%tid.{axis}": position, f"%ntid.{axis}": size}

    def run(
        self,
        counts: Counts,
        number_of_block: int,
        warp: int,
        loops: Sequence[tuple[int, int]],
        around: Sequence[tuple[int, ...]],
    ) -> Iterator[Waiting]:
        """Run to the end; yields where it must wait, and is sent what it gets."""
        instructions, pc, came_from = self._kernel.instructions, 0, -1
        trips = [0] * len(loops)
        while pc < len(instructions):
            instruction = instructions[pc]
            for n in around[pc]:
                if pc == loops[n][0]:
                    trips[n] = trips[n] + 1 if loops[n][0] <= came_from < loops[n][1] else 0
            counts.visits[pc].add((number_of_block, warp, *(trips[n] for n in around[pc])))
            counts.active[pc] += 1
            came_from = pc
            guard = instruction.guard
            if guard is not None and bool(self._registers[guard.name]) == instruction.guard_negated:
                pc += 1
                continue
            counts.on[pc] += 1
            opcode = instruction.opcode
            if opcode in ("ret", "exit"):
                return
            if opcode in ("bra", "brx"):
                pc = self._target(instruction)
            elif opcode in ("bar", "barrier", *_ACROSS):
                results = 0 if "sync" in instruction.modifiers and opcode in ("bar", "barrier") else 1
                given = [v for operand in instruction.operands[results:] for v in self._read(operand)]
                got = yield Waiting(instruction, given)
                if results:
                    self._write(instruction.operands[0], got, "b32")
                pc += 1
            else:
                self._execute(instruction)
                pc += 1

    def _target(self, instruction: Instruction) -> int:
        label = instruction.operands[-1]
        assert isinstance(label, Symbol)
        if instruction.opcode == "bra":
            return self._kernel.labels[label.name]
        return self._kernel.labels[self._kernel.tables[label.name][self._read(instruction.operands[0])[0]]]

    def _execute(self, instruction: Instruction) -> None:
        opcode, (first, *sources) = instruction.opcode, instruction.operands
        kind = instruction.modifiers[-1]
        if opcode == "ld":
            self._write(first, self._load(instruction, _flat(first)), kind)
        elif opcode == "st":
            self._store(instruction, _flat(sources[0]))
        elif opcode == "cvta":
            base = {"shared": _SHARED, "local": _LOCAL}[instruction.modifiers[0]]
            self._write(first, [self._read(sources[0])[0] + base], kind)
        elif opcode == "mov" and isinstance(sources[0], Special | Symbol):
            self._write(first, self._read(sources[0]), kind)
        else:
            given = [value for operand in sources for value in self._read(operand)]
            if opcode in ("addc", "subc", "madc"):
                given.append(self._carry)
            results = list(evaluate(instruction, given))
            if "cc" in instruction.modifiers:
                self._carry = results.pop()
            target = (
                instruction.modifiers[-2] if opcode == "cvt" and "pack" not in instruction.modifiers else ""
            )
            self._write(first, results, target)

    def _read(self, operand: Operand) -> list[int]:
        if isinstance(operand, Register):
            return [self._registers[operand.name]]
        if isinstance(operand, Immediate):
            return [operand.value]
        if isinstance(operand, Not):
            return [1 - self._registers[operand.register.name]]
        if isinstance(operand, Vector):
            return [value for part in operand.parts for value in self._read(part)]
        if isinstance(operand, Special):
            return [self._specials[operand.name]]
        assert isinstance(operand, Symbol)
        return [self._symbols[operand.name] + operand.offset]

    def _write(self, target: Operand, values: Sequence[int], kind: str) -> None:
        """Write results; a wider register is filled as the sign of the type says."""
        for register, value in zip(_flat(target), values, strict=False):
            assert isinstance(register, Register)
            extended = number(value, kind) if kind[:1] == "s" else value
            self._registers[register.name] = bits(extended, register.type)

    # Memory

    def _place(self, instruction: Instruction, size: int) -> tuple[bytearray, int]:
        """Return the memory that an address lies in, and where."""
        operand = next(o for o in instruction.operands if isinstance(o, Address))
        if isinstance(operand.base, Register):
            address = self._registers[operand.base.name] + operand.offset
        else:
            raise AssertionError(instruction)
        window = {"shared": _SHARED, "local": _LOCAL}.get(instruction.modifiers[0], 0)
        start = max(base for base in self._memory if base <= address + window)
        offset = address + window - start
        assert offset % size == 0 and 0 <= offset <= len(self._memory[start]) - size, instruction
        return self._memory[start], offset

    def _load(self, instruction: Instruction, targets: Sequence[Operand]) -> list[int]:
        if "param" in instruction.modifiers:
            operand = instruction.operands[1]
            assert isinstance(operand, Address) and isinstance(operand.base, Symbol)
            return [self._parameters[operand.base.name]]
        size = width(instruction.modifiers[-1]) // 8
        memory, offset = self._place(instruction, size * len(targets))
        return [
            int.from_bytes(memory[offset + size * i : offset + size * (i + 1)], "little")
            for i in range(len(targets))
        ]

    def _store(self, instruction: Instruction, sources: Sequence[Operand]) -> None:
        kind = instruction.modifiers[-1]
        size = width(kind) // 8
        memory, offset = self._place(instruction, size * len(sources))
        for i, source in enumerate(sources):
            value = bits(self._read(source)[0], kind).to_bytes(size, "little")
            memory[offset + size * i : offset + size * (i + 1)] = value


def _flat(operand: Operand) -> tuple[Operand, ...]:
    if isinstance(operand, Vector):
        return operand.parts
    return (operand.first, operand.second) if isinstance(operand, Pair) else (operand,)


def _layout(kernel: Kernel, space: str) -> dict[str, int]:
    found, top = {}, 0
    for variable in kernel.variables.values():
        if variable.space == space:
            found[variable.name] = top
            top += -(-variable.size // 16) * 16
    return found


def _extent(kernel: Kernel, space: str) -> int:
    return sum(-(-v.size // 16) * 16 for v in kernel.variables.values() if v.space == space)
