"""Calls put in their place: a kernel becomes one list of instructions, with what it calls within it.

What a call passes in .param variables is memory of the thread: the callee reads and writes the caller's own
variable, so nothing is copied. Its registers and labels get new names, name@n, for every call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tinytorch.gpu.ptx.functions import Function
from tinytorch.gpu.ptx.program import (
    SIZES,
    Address,
    Instruction,
    Kernel,
    Not,
    Operand,
    Pair,
    PtxError,
    Register,
    Sink,
    Source,
    Symbol,
    TensorAddress,
    Variable,
    Vector,
)

#: A module that has more instructions than this, all calls in their place, is refused.
MOST_INSTRUCTIONS = 1_000_000
#: The same for the registers and labels of all that is called.
MOST_NAMES = 4_000_000
#: Functions may call functions this deep.
DEEPEST = 100
#: Places in the source within places are followed this far.
LONGEST_CHAIN = 200


def mapped(operand: Operand, registers: Mapping[str, Register], symbols: Mapping[str, str]) -> Operand:  # noqa: PLR0911
    """Return an operand under other names.

    >>> mapped(Address(Register("%r1", "b32"), 4), {"%r1": Register("%r1@1", "b32")}, {})
    Address(base=Register(name='%r1@1', type='b32'), offset=4)
    """
    match operand:
        case Register(name):
            return registers.get(name, operand)
        case Symbol(name, offset):
            return Symbol(symbols[name], offset) if name in symbols else operand
        case Address(Register(name), offset):
            return Address(registers.get(name, operand.base), offset)
        case Address(Symbol(name, inner), offset):
            return Address(Symbol(symbols.get(name, name), inner), offset)
        case Not(Register(name) as register):
            return Not(registers.get(name, register))
        case Vector(parts):
            return Vector(tuple(mapped(part, registers, symbols) for part in parts))
        case Pair(first, second):
            return Pair(mapped(first, registers, symbols), mapped(second, registers, symbols))
        case TensorAddress(base, coordinates, shifts):
            place = mapped(base, registers, symbols)
            assert isinstance(place, Register | Symbol)
            places = tuple(mapped(part, registers, symbols) for part in coordinates)
            return TensorAddress(place, places, tuple(mapped(part, registers, symbols) for part in shifts))
    return operand


def mentioned(operand: Operand) -> list[str]:
    """Return the names of the variables and functions in an operand.

    >>> mentioned(Vector((Symbol("a"), Register("%r1", "b32"))))
    ['a']
    """
    match operand:
        case Symbol(name) | Address(Symbol(name)):
            return [name]
        case Vector(parts):
            return [name for part in parts for name in mentioned(part)]
        case TensorAddress(Symbol(name), coordinates, offsets):
            return [name, *mentioned(Vector(coordinates + offsets))]
    return []


class Inliner:
    """Makes kernels of the entries of one module."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        variables: Mapping[str, Variable],
        target: str,
        version: tuple[int, int],
    ) -> None:
        self.functions, self.variables = functions, variables
        self.target, self.version = target, version
        self.order = {name: index for index, name in enumerate(variables)}
        self.count = 0  # of instructions, in all kernels
        self.names = 0  # of registers and labels

    def kernel(self, entry: Function) -> Kernel:
        """Return an entry with all that it calls; PtxError for recursion, and for more than the limits."""
        inlined = _Inlined(self)
        inlined.copy(_Frame(entry, chain=(entry.name,)))
        inlined.check_tables()
        return Kernel(
            name=entry.name,
            parameters=entry.parameters,
            variables=self._used(inlined.instructions),
            registers=inlined.registers,
            instructions=tuple(inlined.instructions),
            labels=inlined.labels,
            tables=inlined.tables,
            target=self.target,
            version=self.version,
            threads=entry.threads,
            most_threads=entry.most_threads,
            cluster=entry.cluster,
        )

    def _used(self, instructions: list[Instruction]) -> dict[str, Variable]:
        """Return the variables that instructions mention, and those whose address these hold, and so on."""
        used: dict[str, Variable] = {}
        waiting = [
            name
            for instruction in instructions
            for operand in instruction.operands
            for name in mentioned(operand)
        ]
        while waiting:
            name = waiting.pop()
            if name in self.variables and name not in used:
                used[name] = self.variables[name]
                waiting += [symbol.name for _, symbol in used[name].pointers]
        return {name: used[name] for name in sorted(used, key=self.order.__getitem__)}


@dataclass
class _Frame:
    """One function as it is put in a kernel: what its names become."""

    function: Function
    suffix: str = ""  # of its registers and labels
    registers: dict[str, Register] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)  # the variables that its parameters stand for
    call: Instruction | None = None  # None for the entry
    chain: tuple[str, ...] = ()  # the functions on the way to here, itself the last
    sources: dict[int, Source] = field(default_factory=dict)  # of its own by identity, in the kernel
    deep: int = 0  # how many places the call's own is within

    def __post_init__(self) -> None:
        """Count them once."""
        if self.call is not None and self.call.source is not None:
            self.deep = sum(1 for _ in self.call.source.chain())

    def renamed(self, instruction: Instruction) -> Instruction:
        """Return one of its instructions as it stands in the kernel."""
        if self.call is None:
            return instruction
        opcode, operands = instruction.opcode, instruction.operands
        symbols: Mapping[str, str] = self.passed
        if opcode in ("bra", "brx"):
            *before, label = operands
            assert isinstance(label, Symbol)
            operands, symbols = (*before, Symbol(label.name + self.suffix)), {}
        elif opcode == "ret":
            opcode, operands, symbols = "bra", (Symbol(self.end),), {}
        guard = instruction.guard
        return replace(
            instruction,
            opcode=opcode,
            operands=tuple(mapped(operand, self.registers, symbols) for operand in operands),
            guard=None if guard is None else self.registers[guard.name],
            source=self.within(instruction.source),
        )

    def within(self, source: Source | None) -> Source | None:
        """Return a place in the function with the place of its call as the outermost caller."""
        assert self.call is not None
        if self.deep > LONGEST_CHAIN:
            return source
        inner: list[Source] = []  # those whose place is not known yet
        while source is not None and id(source) not in self.sources:
            inner.append(source)
            source = source.caller
        result = self.call.source if source is None else self.sources[id(source)]
        for place in reversed(inner):
            result = self.sources[id(place)] = Source(place.file, place.line, place.column, result)
        return result

    @property
    def end(self) -> str:
        """The label to which its returns go."""
        return f"{self.suffix}.end"


class _Inlined:
    """The instructions of one kernel as they are put together."""

    def __init__(self, inliner: Inliner) -> None:
        self.inliner = inliner
        self.instructions: list[Instruction] = []
        self.registers: dict[str, Register] = {}
        self.labels: dict[str, int] = {}
        self.tables: dict[str, tuple[str, ...]] = {}
        self.calls = 0

    def copy(self, frame: _Frame) -> None:
        """Append a function's instructions under their new names, with what they call."""
        function, suffix = frame.function, frame.suffix
        self.inliner.names += len(function.registers) + len(function.labels)
        self.inliner.names += sum(map(len, function.tables.values()))
        if self.inliner.names > MOST_NAMES:
            what = f"there are more than {MOST_NAMES} registers and labels, with all calls in their place"
            raise PtxError(f"line {function.line} of the PTX: {what}")
        for name, register in function.registers.items():
            frame.registers[name] = Register(name + suffix, register.type)
            self.registers[name + suffix] = frame.registers[name]
        for name, targets in function.tables.items():
            self.tables[name + suffix] = tuple(target + suffix for target in targets)
        starts: list[int] = []  # where each of its instructions came to stand
        for instruction in function.instructions or ():
            starts.append(len(self.instructions))
            self._append(frame, frame.renamed(instruction))
        starts.append(len(self.instructions))
        for label, index in function.labels.items():
            self.labels[label + suffix] = starts[index]

    def check_tables(self) -> None:
        """Refuse branches by a table that together have too many ways to go."""
        ways = 0
        for instruction in self.instructions:
            if instruction.opcode == "brx":
                table = instruction.operands[-1]
                assert isinstance(table, Symbol)
                ways += len(self.tables[table.name])
                if ways > MOST_NAMES:
                    raise _error(instruction, f"branches by tables go more than {MOST_NAMES} ways")

    def _append(self, frame: _Frame, instruction: Instruction) -> None:
        self.inliner.count += 1
        if self.inliner.count > MOST_INSTRUCTIONS:
            limit = f"there are more than {MOST_INSTRUCTIONS} instructions, with all calls in their place"
            raise _error(instruction, limit)
        target = instruction.operands[1] if instruction.opcode == "call" else None
        function = self.inliner.functions.get(target.name) if isinstance(target, Symbol) else None
        if function is None or function.instructions is None or function.entry:
            self.instructions.append(instruction)
        else:
            self._call(frame, function, instruction)

    def _call(self, caller: _Frame, function: Function, call: Instruction) -> None:
        """Put a function in the place of its call."""
        if function.name in caller.chain:
            raise _error(call, f"{function.name[:100]!r} calls itself; recursion is not covered")
        if len(caller.chain) > DEEPEST:
            raise _error(call, f"calls are nested more than {DEEPEST} deep")
        self.calls += 1
        frame = _Frame(function, f"@@{self.calls}", call=call, chain=(*caller.chain, function.name))
        after = f"{frame.suffix}.after"
        if call.guard is not None:
            around = replace(call, opcode="bra", modifiers=(), operands=(Symbol(after),))
            self.instructions.append(replace(around, guard_negated=not call.guard_negated))
        results, _, arguments, *_ = call.operands
        assert isinstance(results, Vector)
        assert isinstance(arguments, Vector)
        given = self._pass(frame, function.arguments, arguments)
        if any(isinstance(part, Symbol) and part.name in frame.passed.values() for part in results.parts):
            raise _error(call, "a variable that is both argument and result of a call is not covered")
        returned = self._pass(frame, function.results, results)
        self.instructions += [self._move(call, formal, actual) for formal, actual in given]
        self.copy(frame)
        self.labels[frame.end] = len(self.instructions)
        self.instructions += [self._move(call, actual, formal) for formal, actual in returned]
        self.labels[after] = len(self.instructions)

    def _pass(
        self, frame: _Frame, formals: tuple[Register | Symbol, ...], actuals: Vector
    ) -> list[tuple[Register | Symbol, Operand]]:
        """Let formal variables stand for actual ones; return the pairs that are to be moved instead."""
        assert frame.call is not None
        if len(formals) != len(actuals.parts):
            counts = f"{len(actuals.parts)} where there are {len(formals)}"
            raise _error(frame.call, f"a call of {frame.function.name[:100]!r} passes {counts}")
        variables = self.inliner.variables
        moves: list[tuple[Register | Symbol, Operand]] = []
        for formal, actual in zip(formals, actuals.parts, strict=True):
            if isinstance(actual, Symbol) and (
                actual.name not in variables or variables[actual.name].space != "local" or actual.offset
            ):
                raise _error(frame.call, f"{actual.name[:100]!r} is no .param variable that could be passed")
            if isinstance(formal, Symbol) and isinstance(actual, Symbol):
                if variables[actual.name].size < variables[formal.name].size:
                    raise _error(frame.call, f"{actual.name[:100]!r} is smaller than {formal.name[:100]!r}")
                frame.passed[formal.name] = actual.name
            elif not isinstance(actual, Sink):
                own = (
                    Register(formal.name + frame.suffix, formal.type)
                    if isinstance(formal, Register)
                    else formal
                )
                moves.append((own, actual))
        return moves

    def _move(self, call: Instruction, to: Operand, value: Operand) -> Instruction:
        """Return the instruction that moves a value between a register and a register or a variable."""
        variable = next((side for side in (to, value) if isinstance(side, Symbol)), None)
        register = next((side for side in (to, value) if isinstance(side, Register)), None)
        if register is not None:
            type = register.type
        elif variable is not None and self.inliner.variables[variable.name].size in (1, 2, 4, 8):
            type = f"b{8 * self.inliner.variables[variable.name].size}"
        else:
            raise _error(call, "what this call passes does not fit its parameter")
        opcode, modifiers = "mov", [type]
        if variable is not None:
            if SIZES[type] > self.inliner.variables[variable.name].size or type == "pred":
                raise _error(call, f"a register of .{type} does not fit {variable.name[:100]!r}")
            opcode, modifiers = ("st" if to is variable else "ld"), ["local", type]
        operands = tuple(Address(side) if isinstance(side, Symbol) else side for side in (to, value))
        return Instruction(opcode, tuple(modifiers), operands, call.line, call.text, source=call.source)


def _error(instruction: Instruction, message: str) -> PtxError:
    return PtxError(f"line {instruction.line} of the PTX: {message}")
