"""A PTX program as data: kernels, their parameters, variables and instructions.

What the parser makes and everything else reads. Functions that a kernel calls are already part of it: a call
is replaced by the function's own instructions. (PTX ISA 9.x, NVIDIA.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tinytorch.runtime.errors import InputError

#: Bytes of each fundamental type; predicates are kept as a byte.
SIZES: Mapping[str, int] = {
    "pred": 1,
    **{f"{kind}{bits}": bits // 8 for kind in "bus" for bits in (8, 16, 32, 64)},
    "b128": 16,
    "f16": 2,
    "bf16": 2,
    "f16x2": 4,
    "bf16x2": 4,
    "f32": 4,
    "f64": 8,
}


class PtxError(InputError):
    """A PTX text that cannot be read, or asks for what cannot be; the message names the line."""


class NotCoveredError(PtxError):
    """An instruction that is not covered: it stops a run rather than compute something else."""

    def __init__(self, instruction: "Instruction", why: str = "") -> None:
        self.instruction = instruction
        reason = f": {why}" if why else ""
        super().__init__(
            f"line {instruction.line} of the PTX: {instruction.name} is not covered{reason} "
            f"({instruction.text})"
        )


@dataclass(frozen=True, slots=True)
class Register:
    """A register of the kernel; names are unique in it, whatever scope they were declared in."""

    name: str  # "%r12"
    type: str  # as declared: "pred", "b32", "f32", "u64", "b128", …


@dataclass(frozen=True, slots=True)
class Special:
    """A register that the machine sets: %tid.x, %laneid, %clock64."""

    name: str


@dataclass(frozen=True, slots=True)
class Immediate:
    """A number in the text: an integer, or the bits of a float."""

    value: int  # an integer as it stands, negative ones too; else the bits of a float
    kind: str  # "int", "f32" (0f…) or "f64" (0d… and decimal fractions)


@dataclass(frozen=True, slots=True)
class Symbol:
    """The address of a variable, or a label or function, by its name."""

    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """[base + offset]; without a base the offset is the address."""

    base: Register | Symbol | None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """{a, b, c, d}: also the fragments of matrix instructions, and the arguments of a call."""

    parts: "tuple[Operand, ...]"


@dataclass(frozen=True, slots=True)
class Pair:
    """first|second: two results of one instruction."""

    first: "Operand"
    second: "Operand"


@dataclass(frozen=True, slots=True)
class Not:
    """!p, a predicate read the other way round."""

    register: Register


@dataclass(frozen=True, slots=True)
class Sink:
    """_, a result that nobody wants."""


@dataclass(frozen=True, slots=True)
class TensorAddress:
    """[tensorMap, {coordinates}] of bulk tensor copies."""

    base: "Register | Symbol"
    coordinates: "tuple[Operand, ...]"
    offsets: "tuple[Operand, ...]" = ()


Operand = Register | Special | Immediate | Symbol | Address | Vector | Pair | Not | Sink | TensorAddress


@dataclass(frozen=True, slots=True)
class Source:
    """A place in what the user wrote, as .loc tells it; `caller` where it was inlined, if it was."""

    file: str
    line: int
    column: int = 0
    caller: "Source | None" = None

    def chain(self) -> "Iterator[Source]":
        """Yield this place, then where it was inlined, outwards."""
        place: Source | None = self
        while place is not None:
            yield place
            place = place.caller


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; operands in the order of the text, results first."""

    opcode: str  # "ld"
    modifiers: tuple[str, ...]  # ("global", "nc", "v4", "f32")
    operands: tuple[Operand, ...]
    line: int  # of the PTX text, from 1
    text: str  # as written, on one line, cut at 200 characters
    guard: Register | None = None
    guard_negated: bool = False
    source: Source | None = None

    @property
    def name(self) -> str:
        """The opcode with its modifiers.

        >>> Instruction("add", ("s32",), (), 1, "").name
        'add.s32'
        """
        return ".".join((self.opcode, *self.modifiers))

    @property
    def place(self) -> str:
        """Where it stands, in words: in the user's source if that is known.

        >>> Instruction("add", ("s32",), (), 7, "", source=Source("k.py", 3)).place
        'k.py:3'
        """
        return f"{self.source.file}:{self.source.line}" if self.source else f"line {self.line} of the PTX"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kernel, at an offset in its parameter memory."""

    name: str
    type: str  # "u64", "f32", …, "b8" for an array of bytes
    size: int  # in bytes, all of it
    align: int
    offset: int
    array: bool = False  # declared as .b8 name[size]: a struct, or a tensor map


@dataclass(frozen=True, slots=True)
class Variable:
    """Memory that the program declares."""

    name: str
    space: str  # "shared", "global", "const" or "local"; what calls pass is "local", too
    size: int  # in bytes; 0 for extern shared memory, whose size the launch gives
    align: int
    initial: bytes | None = None  # None: not initialized (zero in .global and .const)
    pointers: tuple[tuple[int, Symbol], ...] = ()  # (offset, address of what) within initial
    extern: bool = False


@dataclass(frozen=True)
class Kernel:
    """An entry: what a launch runs. `labels` give the index of the instruction that follows them."""

    name: str
    parameters: tuple[Parameter, ...]
    variables: Mapping[str, Variable]  # those of the module, too
    registers: Mapping[str, Register]
    instructions: tuple[Instruction, ...]
    labels: Mapping[str, int]
    tables: Mapping[str, tuple[str, ...]]  # .branchtargets of brx.idx: labels
    target: str  # "sm_90a"
    version: tuple[int, int]  # of the PTX ISA
    threads: tuple[int, int, int] | None = None  # .reqntid
    most_threads: int | None = None  # .maxntid, multiplied out
    cluster: tuple[int, int, int] | None = None  # .reqnctapercluster


@dataclass(frozen=True)
class Module:
    """A PTX text, read."""

    kernels: Mapping[str, Kernel]
    text: str = field(repr=False)
    target: str
    version: tuple[int, int]

    def kernel(self, name: str | None = None) -> Kernel:
        """Return the kernel of a name, or the only one. Raises PtxError naming those there are."""
        there = ", ".join(self.kernels) or "none"
        if name is None:
            if len(self.kernels) != 1:
                raise PtxError(f"the PTX holds {len(self.kernels)} kernels: {there}; name one of them")
            return next(iter(self.kernels.values()))
        if name not in self.kernels:
            raise PtxError(f"no kernel {name!r} in the PTX: it holds {there}")
        return self.kernels[name]
