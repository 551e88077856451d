"""A function as the parser found it, an entry or a .func, before calls are replaced."""

from dataclasses import dataclass, field

from tinytorch.gpu.ptx.program import Instruction, Parameter, Register, Symbol


@dataclass
class Function:
    """One .entry or .func; what it declares is under names that are unique in the module."""

    name: str
    line: int
    entry: bool
    parameters: tuple[Parameter, ...] = ()  # of an entry
    results: tuple[Register | Symbol, ...] = ()  # of a .func
    arguments: tuple[Register | Symbol, ...] = ()  # of a .func
    instructions: list[Instruction] | None = None  # None: only declared
    registers: dict[str, Register] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    threads: tuple[int, int, int] | None = None
    most_threads: int | None = None
    cluster: tuple[int, int, int] | None = None
