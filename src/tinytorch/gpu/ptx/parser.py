"""From a PTX text to a `Module`: directives, functions, their bodies, and where each line came from.

Here are the directives of the module; `bodies` reads what a function does, and `calls` puts what a kernel
calls in its place at the end. (PTX ISA 9.x, sections 4, 5 and 11.)
"""

import itertools
import math

from tinytorch.gpu.ptx import directives
from tinytorch.gpu.ptx.bodies import SPACES, Body
from tinytorch.gpu.ptx.calls import Inliner
from tinytorch.gpu.ptx.declarations import function_parameters, kernel_parameters, variables
from tinytorch.gpu.ptx.functions import Function
from tinytorch.gpu.ptx.lexer import Cursor
from tinytorch.gpu.ptx.literals import count
from tinytorch.gpu.ptx.program import Module, Symbol
from tinytorch.gpu.ptx.scopes import Scope

_LINKAGE = (".visible", ".extern", ".weak", ".common")
#: Directives of a function that say nothing about what it computes, by how many numbers follow them.
_IGNORED = {
    **dict.fromkeys((".minnctapersm", ".maxnctapersm", ".maxnreg", ".maxclusterrank"), 1),
    **dict.fromkeys((".abi_preserve", ".abi_preserve_control"), 1),
    **dict.fromkeys((".noreturn", ".explicitcluster", ".blocksareclusters"), 0),
}


def parse(text: str, entry: str | None = None) -> Module:
    """Read a PTX text and its kernels, or the one of a name, whatever the others call.

    Raises PtxError, naming the line, for one that cannot be read.

    >>> module = parse('''
    ... .version 8.0
    ... .target sm_90
    ... .address_size 64
    ... .visible .entry one(.param .u64 out) {
    ...     .reg .b64 %rd<2>;
    ...     ld.param.u64 %rd1, [out];
    ...     st.global.u32 [%rd1+4], 1;
    ...     ret;
    ... }''')
    >>> [instruction.name for instruction in module.kernel().instructions]
    ['ld.param.u64', 'st.global.u32', 'ret']
    """
    parser = _Parser(text)
    parser.module()
    inliner = Inliner(parser.functions, parser.scope.variables, parser.target, parser.version)
    kernels = {
        name: inliner.kernel(function)
        for name, function in parser.functions.items()
        if function.entry and function.instructions is not None and entry in (None, name)
    }
    return Module(kernels, text, parser.target, parser.version)


class _Parser:
    def __init__(self, text: str) -> None:
        self.cursor = Cursor(text)
        self.scope = Scope(None, {}, {}, itertools.count(1))
        self.functions: dict[str, Function] = {}
        self.version = (0, 0)
        self.target = ""
        self.files = directives.files(self.cursor)

    def module(self) -> None:
        """Take the whole text."""
        cursor = self.cursor
        while cursor.word:
            if cursor.word in directives.ABOUT:
                directives.skip(cursor)
            elif cursor.accept(".version"):
                self.version = directives.version(cursor)
            elif cursor.accept(".target"):
                self._target()
            elif cursor.accept(".address_size"):
                if count(cursor, "an address size") != 64:
                    raise cursor.error("only 64-bit addresses are covered")
            else:
                self._linked()
        if not self.target or self.version == (0, 0):
            raise cursor.error("no .version and .target: this is no PTX text")

    def _target(self) -> None:
        cursor = self.cursor
        self.target = cursor.name("an architecture, like sm_90")
        while cursor.accept(","):
            cursor.name("an option of .target")

    def _linked(self) -> None:
        """Take a variable or a function, with its linkage."""
        cursor = self.cursor
        extern = False
        while cursor.word in _LINKAGE:
            extern |= cursor.take() == ".extern"
        word = cursor.word
        if word in (".entry", ".func"):
            if not self.target:
                raise cursor.error("a function before .target")
            self._function()
        elif word in SPACES:
            cursor.at += 1
            variables(cursor, self.scope, word[1:], extern)
        else:
            raise cursor.error(f"expected a directive, found {cursor.found}")

    def _function(self) -> None:
        cursor = self.cursor
        line, entry = cursor.line, cursor.take() == ".entry"
        if entry:
            name = cursor.name("the name of an entry")
            function = Function(name, line, entry, kernel_parameters(cursor))
            scope = self.scope.function(frozenset(parameter.name for parameter in function.parameters))
            for parameter in function.parameters:
                if self.scope.declared(parameter.name):
                    raise cursor.error(f"{parameter.name[:100]!r} is declared twice")
                scope.names[parameter.name] = Symbol(parameter.name)
        else:
            if cursor.accept(".attribute"):
                directives.skip_parentheses(cursor)
            scope = self.scope.function()
            results = function_parameters(cursor, scope)
            name = cursor.name("the name of a function")
            function = Function(name, line, entry, (), results, function_parameters(cursor, scope))
        self._declare(function)
        self._directives(function)
        known = self.functions[name]
        if cursor.accept(";"):
            return
        if known.instructions is not None:
            raise cursor.error(f"{name[:100]!r} is defined twice")
        self.functions[name] = function
        cursor.expect("{")
        Body(cursor, function, scope, self.files).read()

    def _declare(self, function: Function) -> None:
        """Make a name known before the body, which may use it."""
        name = function.name
        known = self.functions.setdefault(name, function)
        if known is function:
            if self.scope.declared(name):
                raise self.cursor.error(f"{name[:100]!r} is declared twice", self.cursor.last_line)
            self.scope.names[name] = Symbol(name)
        elif known.entry != function.entry:
            raise self.cursor.error(f"{name[:100]!r} is declared as .entry and as .func")

    def _directives(self, function: Function) -> None:
        """Take what stands between the parameters and the body."""
        cursor = self.cursor
        while cursor.word.startswith("."):
            word = cursor.word
            if word in directives.ABOUT:
                directives.skip(cursor)
                continue
            cursor.at += 1
            if word == ".reqntid":
                function.threads = directives.three(cursor)
            elif word == ".maxntid":
                function.most_threads = math.prod(directives.three(cursor))
            elif word == ".reqnctapercluster":
                function.cluster = directives.three(cursor)
            elif word in _IGNORED:
                for _ in range(_IGNORED[word]):
                    count(cursor, f"the number of {word}")
            else:
                cursor.at -= 1
                raise cursor.error(f"{word[:100]!r} is no directive of a function that is known here")
