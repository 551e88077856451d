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

#: What a name may stand for in a text that anybody reads, and the dots in it: a hostile one has more.
_MOST_MEANINGS, _MOST_DOTS = 200, 20

#: What a compiler is told that decides if threads of its code run at once.
_TOLD = ("nogil", "parallel", "target")

_Names = dict[str, set[str]]


def uses(text: str, name: str) -> frozenset[str]:
    """Return the full names of what a function calls, itself and through functions in the same text.

    A method of a value has a dot in front, as in ".dot"; the learner's own functions have none. What a
    compiler is told has its value, as in "nogil=True". Raises SyntaxError.

    >>> sorted(uses("import numpy as np\\ndef f(a): return g(a)\\ndef g(a): return np.dot(a, a) @ a", "f"))
    ['@', 'g', 'numpy.dot']
    """
    tree = ast.parse(text)
    own, imported, stars = _own(tree), *_imported(tree)
    found: set[str] = set()
    waiting, seen, walked = [name], set(), set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for node in own.get(one, ()):
            if id(node) in walked:
                continue
            walked.add(id(node))
            for used in _used(node, own, imported, stars):
                found.add(used)
                waiting.append(used)
    return frozenset(found - {name}) | _reaches(tree, imported)


def reaches(text: str) -> frozenset[str]:
    """Return what a text uses, wherever, by which it could change what is not its own. Raises SyntaxError.

    >>> sorted(reaches("import numpy as np, sys\\nnp.add = np.dot\\nx = [sys.modules]"))
    ['setattr', 'sys.modules']
    """
    tree = ast.parse(text)
    return _reaches(tree, _imported(tree)[0])


#: Ways to name what is not written out, and to put something in its place. A module counts whole.
_REACHES = frozenset(
    {"setattr", "delattr", "globals", "exec", "eval", "__import__", "sys.modules", "sys._getframe"}
    | {"sys._current_frames", "sys.setprofile", "sys.settrace", "threading.setprofile", "threading.settrace"}
    | {"gc.get_objects", "gc.get_referrers", "gc.get_referents"}
    | {f".__{name}__" for name in ("setattr", "dict", "globals", "builtins", "code", "subclasses", "closure")}
)
_MODULES = ("ctypes", "cffi", "_ctypes", "importlib", "builtins", "unittest", "tinytorch.course")
#: What a module may be given, and what of the course is for learners.
_SETTINGS = ("numba.config", "os.environ")
_FOR_LEARNERS = frozenset(
    f"tinytorch.course.{name}" for name in ("check", "predict", "reveal", "CheckFailedError")
)


def _reaches(tree: ast.Module, imported: _Names) -> frozenset[str]:
    used: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                used |= {alias.name for alias in names}
            case ast.ImportFrom(module=str() as module, names=names):
                used |= {f"{module}.{alias.name}" for alias in names}
            case ast.Name(id=name):
                used.add(name)
            case ast.Attribute(attr=attribute):
                used |= {f".{attribute}", *_dotted(node, imported)}
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            owner = node.value
            while isinstance(owner, ast.Subscript):
                owner = owner.value
            if any(not full.startswith(_SETTINGS) for full in _dotted(owner, imported)):
                used.add("setattr")  # of a module
    return frozenset(
        one
        for one in used - _FOR_LEARNERS
        if one in _REACHES or any(one == module or one.startswith(f"{module}.") for module in _MODULES)
    )


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
    _follow(known, [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.NamedExpr)])
    if len(stars) > _MOST_MEANINGS:
        raise SyntaxError("too many modules are imported whole")
    return known, stars


def _follow(known: _Names, aliases: list[ast.Assign | ast.NamedExpr]) -> None:
    """Add what names stand for that are assigned what another has named, on and on."""
    by_root: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
    for node in aliases:
        root, parts = _parts(node.value)
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if root and isinstance(target, ast.Name):
                by_root[root].append((target.id, parts))
    waiting = [(name, full) for name, meanings in known.items() for full in meanings]
    while waiting:
        name, full = waiting.pop()
        if len(known[name]) > _MOST_MEANINGS:
            raise SyntaxError(f"{name} may stand for too many things")
        for alias, more in by_root[name]:
            longer = ".".join([full, *more])
            if longer not in known[alias] and longer.count(".") < _MOST_DOTS:
                known[alias].add(longer)
                waiting.append((alias, longer))


def _root(dotted: str) -> str:
    return dotted.partition(".")[0]


def _used(node: ast.AST, own: dict[str, list[ast.AST]], imported: _Names, stars: set[str]) -> Iterator[str]:
    called = {part.func for part in ast.walk(node) if isinstance(part, ast.Call)}
    owners = {part.value for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    outer = names(ast.unparse(node)) if stars else frozenset()
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp | ast.AugAssign) and isinstance(part.op, ast.MatMult):
            yield PRODUCT
        elif isinstance(part, ast.keyword) and part.arg in _TOLD:
            if isinstance(part.value, ast.Constant) and isinstance(part.value.value, bool | str):
                yield f"{part.arg}={part.value.value}"
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
    root, parts = _parts(node)
    return {".".join([full, *parts]) for full in known.get(root, ())}


def _parts(node: ast.AST) -> tuple[str, list[str]]:
    """Return the name that an expression with dots begins with, and what follows; "" if it is none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id if isinstance(node, ast.Name) else ""), parts[::-1]
