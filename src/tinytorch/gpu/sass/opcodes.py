"""The instructions of machine code, by nvdisasm: which, how wide, and from which line of the source."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tinytorch.gpu.ptx.literals import unescaped
from tinytorch.gpu.sass import tools
from tinytorch.gpu.sass.resources import architecture

_SECTION = re.compile(r"^\s*\.section\s+\.text\.(\S+?),")
_SOURCE = re.compile(r'^\s*//## File "([^"]*)", line (\d+)')
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+\{?\s*(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*(?:\.\w+)*)")
#: Matrix instructions: of a warp (HMMA, IMMA, DMMA, …), of a warp group (HGMMA, …), of tcgen05 (UTCHMMA, …).
_TENSOR_CORES = re.compile(r"(UTC)?[HIDBQO]G?MMA$|UTC\w+MMA$")
_WIDTHS = {"U8": 8, "S8": 8, "U16": 16, "S16": 16, "64": 64, "128": 128, "256": 256}
#: Loads and stores whose width tells how well memory is used: global, shared, from the one to the other
#: (LDGSTS, of cp.async), or either (LD, ST).
MEMORY = ("LDG", "STG", "LDS", "STS", "LDGSTS", "LD", "ST")


@dataclass(frozen=True, slots=True)
class MachineInstruction:
    """One instruction: LDG.E.128 of line 6 of kernels.py."""

    opcode: str
    file: str = ""  # as the line table names it; "" without one
    line: int = 0

    @property
    def base(self) -> str:
        """The opcode without its modifiers: LDG."""
        return self.opcode.partition(".")[0]

    @property
    def width(self) -> int:
        """The bits that a load or store moves for each thread.

        >>> MachineInstruction("LDG.E.128").width, MachineInstruction("STS.U16").width
        (128, 16)
        """
        return next((_WIDTHS[part] for part in self.opcode.split(".") if part in _WIDTHS), 32)


@dataclass(frozen=True, slots=True)
class Code:
    """The machine code of one kernel."""

    kernel: str
    instructions: tuple[MachineInstruction, ...]

    def opcodes(self) -> Counter[str]:
        """Return how often each opcode stands there, modifiers and all."""
        return Counter(instruction.opcode for instruction in self.instructions)

    def count(self, *bases: str) -> int:
        """Return how many instructions have one of these opcodes, whatever their modifiers."""
        return sum(instruction.base in bases for instruction in self.instructions)

    def tensor_cores(self) -> Counter[str]:
        """Return the matrix instructions: HMMA, HGMMA, UTCHMMA and their like, each with its count."""
        return Counter(
            instruction.base for instruction in self.instructions if _TENSOR_CORES.match(instruction.base)
        )

    def widths(self) -> dict[str, Counter[int]]:
        """Return for each of `MEMORY` that there is how many instructions move how many bits a thread."""
        return {
            base: Counter(i.width for i in self.instructions if i.base == base)
            for base in MEMORY
            if self.count(base)
        }

    @property
    def local_loads(self) -> int:
        """Loads from local memory: of what was spilled, and of arrays that are not in registers."""
        return self.count("LDL")

    @property
    def local_stores(self) -> int:
        """Stores to local memory."""
        return self.count("STL")


def code(cubin: bytes) -> dict[str, Code]:
    """Return the machine code of each kernel of a cubin, by name; functions that they call, too.

    Raises InputError if it is no cubin; MissingExtraError, one too, if nvdisasm is not installed.
    """
    architecture(cubin)  # says what is no cubin
    done = tools.run("nvdisasm", cubin, lambda file: ["--print-code", "--print-line-info", str(file)])
    return _parse(done.stdout.splitlines())


def _parse(lines: Iterable[str]) -> dict[str, Code]:
    functions: dict[str, list[MachineInstruction]] = {}
    current: list[MachineInstruction] = []
    place = ("", 0)
    for line in lines:
        if section := _SECTION.match(line):
            current = functions.setdefault(section[1], [])
            place = ("", 0)
        elif source := _SOURCE.match(line):
            place = (unescaped(source[1]), int(source[2]))  # as the PTX wrote it
        elif instruction := _INSTRUCTION.match(line):
            current.append(MachineInstruction(instruction[1], *place))
    return {name: Code(name, tuple(_trimmed(found))) for name, found in functions.items()}


def _trimmed(instructions: list[MachineInstruction]) -> list[MachineInstruction]:
    """Take off the NOPs that fill the section up."""
    end = len(instructions)
    while end and instructions[end - 1].opcode == "NOP":
        end -= 1
    return instructions[:end]
