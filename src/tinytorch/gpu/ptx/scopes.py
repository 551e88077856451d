"""What names mean where: registers, variables and labels, in braces within braces.

An inner name may hide an outer one. In a kernel's data every name is unique, so the one that comes later is
called name@1, name@2, …, which no text can contain.
"""

from collections.abc import Iterator
from dataclasses import replace

from tinytorch.gpu.ptx.program import Register, Symbol, Variable

_DIGITS = "0123456789"


class Scope:
    """The names within one pair of braces; `outer` is what they stand in, None for the module."""

    def __init__(
        self,
        outer: "Scope | None",
        registers: dict[str, Register],
        variables: dict[str, Variable],
        serial: Iterator[int],
        reserved: frozenset[str] = frozenset(),
    ) -> None:
        self.outer = outer
        self.registers = registers  # of the function, by unique name; only those that the text mentions
        self.variables = variables  # of the module, by unique name
        self.serial = serial
        self.reserved = reserved  # names that no variable may get: the kernel's parameters
        self.names: dict[str, Register | Symbol] = {}
        self.labels: dict[str, str] = {}  # to their unique names, those of .branchtargets, too
        self._ranges: dict[str, tuple[int, str]] = {}  # "%r" of %r<5>: (5, "b32")
        self._least: dict[str, int] = {}  # the least n of names like %r<n> that were declared one by one

    def inner(self) -> "Scope":
        """Return a scope within this one."""
        return Scope(self, self.registers, self.variables, self.serial, self.reserved)

    def function(self, reserved: frozenset[str] = frozenset()) -> "Scope":
        """Return the scope of a function's body, with its own registers."""
        return Scope(self, {}, self.variables, self.serial, reserved)

    def find(self, name: str) -> Register | Symbol | None:
        """Return what a name means here, None if nothing."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name) or scope._in_range(name)
            if found is not None:
                return found
            scope = scope.outer
        return None

    def label(self, name: str) -> str | None:
        """Return the unique name of a label that can be seen from here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.labels:
                return scope.labels[name]
            scope = scope.outer
        return None

    def declared(self, name: str) -> bool:
        """Say whether this very scope has the name."""
        return name in self.names or self._in_range(name) is not None

    def add_register(self, name: str, type: str) -> Register:
        """Declare a register; the caller made sure that the name is free here."""
        unique = f"{name}@{next(self.serial)}" if name in self.registers else name
        register = Register(unique, type)
        self.registers[unique] = self.names[name] = register
        for prefix, number in _splits(name):
            self._least[prefix] = min(number, self._least.get(prefix, number))
        return register

    def add_range(self, prefix: str, count: int, type: str) -> bool:
        """Declare prefix0 to prefix(count-1), each made on first use; False if one is there already."""
        if prefix in self._ranges or self._least.get(prefix, count) < count:
            return False
        self._ranges[prefix] = (count, type)
        return True

    def add_variable(self, name: str, variable: Variable) -> Variable:
        """Declare a variable, and return it under its unique name."""
        if name in self.variables or name in self.reserved:
            variable = replace(variable, name=f"{name}@{next(self.serial)}")
        self.variables[variable.name] = variable
        self.names[name] = Symbol(variable.name)
        return variable

    def _in_range(self, name: str) -> Register | None:
        if self._ranges:
            for prefix, number in _splits(name):
                count, type = self._ranges.get(prefix, (0, ""))
                if number < count:
                    return self.add_register(name, type)
        return None


def _splits(name: str) -> list[tuple[str, int]]:
    """Return the ways to read a name as prefix<number>: %r12 is %r with 12, and %r1 with 2."""
    if not name or name[-1] not in _DIGITS:
        return []
    first = max(len(name.rstrip(_DIGITS)), len(name) - 9)
    ways = [(name[:cut], name[cut:]) for cut in range(first, len(name))]
    return [(prefix, int(digits)) for prefix, digits in ways if digits == "0" or digits[0] != "0"]
