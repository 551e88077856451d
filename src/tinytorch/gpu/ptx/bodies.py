"""What stands between the braces of a function: declarations, labels, places in the source and instructions.

One walk along the words, with a stack of scopes for braces within braces. Labels are found at the end, when
all of them are known. (PTX ISA 9.x, sections 4 and 11.)
"""

from dataclasses import replace

from tinytorch.gpu.ptx.declarations import registers, variables
from tinytorch.gpu.ptx.directives import ABOUT, DEEPEST, Place, callers, place, skip
from tinytorch.gpu.ptx.functions import Function
from tinytorch.gpu.ptx.lexer import LONGEST_SHORT_NAME, Cursor
from tinytorch.gpu.ptx.literals import count
from tinytorch.gpu.ptx.program import Address, Instruction, Operand, Register, Source, Symbol
from tinytorch.gpu.ptx.scopes import Scope
from tinytorch.gpu.ptx.syntax import call_operands, operands, predicate

#: Braces may be nested this deep.
DEEPEST_BRACES = 200
#: The directives of variables.
SPACES = (".shared", ".global", ".const", ".local")


class Body:
    """Reads the body of one function, whose first brace is taken, and fills the function."""

    def __init__(self, cursor: Cursor, function: Function, scope: Scope, files: dict[int, str]) -> None:
        self.cursor, self.function, self.scope, self.files = cursor, function, scope, files
        self.instructions: list[Instruction] = []
        self.branches: list[tuple[int, Scope]] = []  # instructions whose last operand is yet to be found
        self.tables: list[tuple[str, list[str], Scope, int]] = []
        self.labels: set[str] = set()
        self.source: Source | None = None
        self.places: dict[Place, tuple[Source, int]] = {}  # with the length of its chain

    def read(self) -> None:
        """Take all of it; PtxError, naming the line, for what is none."""
        cursor = self.cursor
        depth = 1
        while depth:
            word = cursor.word
            if word.startswith("."):
                self._directive()
            elif word == "{":
                cursor.at += 1
                depth += 1
                if depth > DEEPEST_BRACES:
                    raise cursor.error(f"braces are nested more than {DEEPEST_BRACES} deep")
                self.scope = self.scope.inner()
            elif word == "}":
                cursor.at += 1
                depth -= 1
                if depth and self.scope.outer is not None:
                    self.scope = self.scope.outer
            elif cursor.after == ":":
                self._label()
            elif not cursor.accept(";"):
                self._instruction()
        self._finish()

    def _directive(self) -> None:
        cursor = self.cursor
        word = cursor.word
        if word in ABOUT:
            skip(cursor)
            return
        cursor.at += 1
        if word == ".loc":
            self._location()
        elif word == ".reg":
            registers(cursor, self.scope)
        elif word == ".param":
            variables(cursor, self.scope, "local")
        elif word in SPACES:
            variables(cursor, self.scope, word[1:])
        elif word == ".extern" and cursor.word in SPACES:
            variables(cursor, self.scope, cursor.take()[1:], extern=True)
        else:
            cursor.at -= 1
            raise cursor.error(f"{word[:100]!r} is no directive that is known here")

    def _location(self) -> None:
        """Take file line column of .loc, and `, function_name label, inlined_at file line column`."""
        cursor = self.cursor
        line = cursor.last_line
        here, caller, depth = place(cursor, self.files), None, 0
        while cursor.accept(","):
            word = cursor.take()
            if word == "function_name":
                cursor.name("a label")
                if cursor.accept("+"):
                    count(cursor, "an offset")
            elif word == "inlined_at":
                outer = place(cursor, self.files)
                caller, depth = self.places.get(outer, (Source(*outer), 1))
                if depth >= DEEPEST:
                    caller, depth = Source(*outer), 1
            else:
                raise cursor.error(f"{word[:100]!r} after .loc: function_name and inlined_at are known")
        if caller is None and line in cursor.remarks:
            for outer in reversed(callers(cursor.remarks[line], here, self.files)):
                caller, depth = Source(*outer, caller), depth + 1
        if here[1] == 0:  # no line of the user's: at most it has a caller
            self.source = caller
        else:
            self.source = Source(*here, caller)
            self.places[here] = (self.source, depth + 1)

    def _label(self) -> None:
        """Take name: with the table of a brx.idx or the prototype of a call, if one follows."""
        cursor = self.cursor
        name = cursor.name("a label", LONGEST_SHORT_NAME)
        if name in self.scope.labels:
            raise cursor.error(f"label {name[:100]!r} is there twice", cursor.last_line)
        cursor.expect(":")
        if cursor.word in (".callprototype", ".calltargets"):
            if self.scope.declared(name):
                raise cursor.error(f"{name[:100]!r} is declared twice")
            self.scope.names[name] = Symbol(name)
            while not cursor.accept(";"):
                cursor.take()
            return
        unique = f"{name}@{next(self.scope.serial)}" if name in self.labels else name
        self.labels.add(unique)
        self.scope.labels[name] = unique
        if cursor.word == ".branchtargets":
            self._table(unique)
        else:
            self.function.labels[unique] = len(self.instructions)

    def _table(self, name: str) -> None:
        cursor = self.cursor
        line = cursor.line
        cursor.expect(".branchtargets")
        targets = [cursor.name("a label")]
        while cursor.accept(","):
            targets.append(cursor.name("a label"))
        cursor.expect(";")
        self.tables.append((name, targets, self.scope, line))

    def _instruction(self) -> None:
        cursor, scope = self.cursor, self.scope
        start, line = cursor.at, cursor.line
        guard, negated = None, False
        if cursor.accept("@"):
            negated = cursor.accept("!")
            guard = predicate(cursor, scope)
        opcode, *modifiers = cursor.name("an instruction").split(".")
        if not opcode.isidentifier():
            raise cursor.error(f"{opcode[:100]!r} is no instruction", line)
        found: tuple[Operand, ...]
        if opcode in ("bra", "brx"):
            self.branches.append((len(self.instructions), scope))
            found = self._branch(indexed=opcode == "brx")
        elif opcode == "call":
            found = call_operands(cursor, scope)
        else:
            found = operands(cursor, scope)
            if any(modifier.startswith("param") for modifier in modifiers):
                modifiers = self._spaces(opcode, modifiers, found)
        text, names = cursor.quote(start), tuple(modifiers)
        self.instructions.append(Instruction(opcode, names, found, line, text, guard, negated, self.source))

    def _branch(self, indexed: bool) -> tuple[Operand, ...]:
        """Take label, or index, table."""
        cursor = self.cursor
        found: tuple[Operand, ...] = ()
        if indexed:
            index = self.scope.find(cursor.word)
            if not isinstance(index, Register):
                raise cursor.error(f"{cursor.word[:100]!r} is no register that is declared")
            cursor.at += 1
            cursor.expect(",")
            found = (index,)
        label = Symbol(cursor.name("a label"))
        cursor.expect(";")
        return (*found, label)

    def _spaces(self, opcode: str, modifiers: list[str], found: tuple[Operand, ...]) -> list[str]:
        """Return modifiers in which .param means a kernel's parameters: what calls pass is in .local."""
        if opcode not in ("ld", "st", "cvta", "prefetch"):
            return modifiers
        bases = [operand.base if isinstance(operand, Address) else operand for operand in found]
        symbols = [base for base in bases if isinstance(base, Symbol)]
        passed = any(symbol.name in self.scope.variables for symbol in symbols)
        local = passed or (not symbols and not self.function.entry)
        meant = {"param": "local" if local else "param", "param::func": "local", "param::entry": "param"}
        return [meant.get(modifier, modifier) for modifier in modifiers]

    def _finish(self) -> None:
        """Find the labels that are branched to, now that all are known, and fill the function."""
        function = self.function
        for name, targets, scope, line in self.tables:
            found = (self._found(target, scope, function.labels, line) for target in targets)
            function.tables[name] = tuple(found)
        for index, scope in self.branches:
            instruction = self.instructions[index]
            *before, label = instruction.operands
            assert isinstance(label, Symbol)
            wanted = function.tables if instruction.opcode == "brx" else function.labels
            unique = self._found(label.name, scope, wanted, instruction.line)
            self.instructions[index] = replace(instruction, operands=(*before, Symbol(unique)))
        function.registers, function.instructions = self.scope.registers, self.instructions

    def _found(
        self, name: str, scope: Scope, wanted: dict[str, int] | dict[str, tuple[str, ...]], line: int
    ) -> str:
        unique = scope.label(name)
        if unique is None or unique not in wanted:
            where = self.function.name[:100]
            raise self.cursor.error(f"no label {name[:100]!r} to branch to in {where!r}", line)
        return unique
