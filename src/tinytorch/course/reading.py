"""What a learner's function calls, read from its source without running it.

A check that asks for loops must see a BLAS call; a placeholder is told from a solution here, too. Whatever a
name may stand for counts: a function that is only mentioned may be called through another name.
"""

import ast
import builtins
import symtable
from collections import defaultdict
from collections.abc import Iterator

#: The operator, as `uses` tells it.
PRODUCT = "@"

_Names = dict[str, set[str]]


def uses(text: str, name: str) -> frozenset[str]:
    """Return the full names of what a function calls, itself and through functions in the same text.

    A method of a value has a dot in front, as in ".dot"; the learner's own functions have none. Raises
    SyntaxError.

    >>> sorted(uses("import numpy as np\\ndef f(a): return g(a)\\ndef g(a): return np.dot(a, a) @ a", "f"))
    ['@', 'g', 'numpy.dot']
    """
    tree = ast.parse(text)
    own, imported, stars = _own(tree), *_imported(tree)
    found: set[str] = set()
    waiting, seen = [name], set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for node in own.get(one, ()):
            for used in _used(node, own, imported, stars):
                found.add(used)
                waiting.append(used)
    return frozenset(found - {name})


def is_placeholder(text: str, name: str) -> bool:
    """Say whether a function is missing in a text, or still raises NotImplementedError as it was given out.

    >>> is_placeholder("def f(x):\\n    raise NotImplementedError()", "f")
    True
    """
    nodes = _own(ast.parse(text)).get(name)
    if not nodes:
        return True
    return isinstance(nodes[-1], ast.FunctionDef | ast.AsyncFunctionDef) and any(
        isinstance(line, ast.Raise) and "NotImplementedError" in ast.dump(line) for line in nodes[-1].body
    )


def parsed(text: str) -> ast.Module | None:
    """Return a text as a tree, or None: whatever a text may do to the parser, it is no Python then.

    >>> parsed("(" * 10_000) is None
    True
    """
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # ValueError: a zero byte
        return None


def names(text: str) -> frozenset[str]:
    """Return the names that a text reads from outside of its functions. Raises SyntaxError.

    >>> sorted(names("def f(x): return g(x) + (lambda y: y + h)(x)"))
    ['g', 'h']
    """
    found: set[str] = set()
    waiting = [symtable.symtable(text, "", "exec")]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        outermost = table.get_type() == "module"
        found |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (outermost or symbol.is_global())
        }
    return frozenset(found)


def _own(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """Return all that a text binds to each name outside of functions: functions, classes, values."""
    found: dict[str, list[ast.AST]] = defaultdict(list)
    for node in _outside(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name].append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
            if node.value is None:
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):  # also x in x["key"] = f and in x.method = f
                        found[part.id].append(node.value)
    return found


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is run when the text is: everything but the insides of functions and classes."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _outside(child)


def _imported(tree: ast.Module) -> tuple[_Names, set[str]]:
    """Return what each name may be imported as, through assignments too, and modules imported whole."""
    known: _Names = defaultdict(set)
    stars = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or _root(alias.name)].add(
                    alias.name if alias.asname else _root(alias.name)
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    stars.add(node.module or "")
                else:
                    module = f"{'.' * node.level}{node.module or ''}"
                    known[alias.asname or alias.name].add(f"{module}.{alias.name}")
    aliases = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.NamedExpr)]
    for _ in aliases:  # each may name what another has named
        before = sum(map(len, known.values()))
        for node in aliases:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    known[target.id] |= _dotted(node.value, known)
        if sum(map(len, known.values())) == before:
            break
    return known, stars


def _root(dotted: str) -> str:
    return dotted.partition(".")[0]


def _used(node: ast.AST, own: dict[str, list[ast.AST]], imported: _Names, stars: set[str]) -> Iterator[str]:
    called = {part.func for part in ast.walk(node) if isinstance(part, ast.Call)}
    owners = {part.value for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    outer = names(ast.unparse(node)) if stars else frozenset()
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp | ast.AugAssign) and isinstance(part.op, ast.MatMult):
            yield PRODUCT
        elif isinstance(part, ast.Attribute):
            yield from _dotted(part, imported) or {f".{part.attr}"}
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            if part.id in own:
                yield part.id
            if part not in owners:  # then the attribute says it in full
                yield from imported.get(part.id, ())
            if part in called or hasattr(builtins, part.id):
                yield part.id
            if part.id in outer and not (part.id in own or hasattr(builtins, part.id)):
                yield from (f"{module}.{part.id}" for module in stars)
        elif isinstance(part, ast.ImportFrom) and part.module:  # within a function
            yield from (f"{part.module}.{alias.name}" for alias in part.names)


def _dotted(node: ast.AST, known: _Names) -> set[str]:
    """Return the full names that something imported may have; none for a value."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return set()
    return {".".join([full, *reversed(parts)]) for full in known.get(node.id, ())}
