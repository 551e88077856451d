"""What a learner's function calls, read from its source without running it.

A check that asks for loops must see a BLAS call; a placeholder is told from a solution here, too.
"""

import ast
from collections.abc import Iterator, Mapping

#: Names of the operator, as `uses` tells it.
PRODUCT = "@"


def uses(text: str, name: str) -> frozenset[str]:
    """Return the full names of what a function calls, itself and through functions in the same text.

    >>> sorted(uses("import numpy as np\\ndef f(a): return g(a)\\ndef g(a): return np.dot(a, a) @ a", "f"))
    ['@', 'g', 'numpy.dot']
    """
    tree = ast.parse(text)
    functions = _functions(tree)
    known = _imported(tree)
    found: set[str] = set()
    waiting, seen = [name], set()
    while waiting:
        one = waiting.pop()
        if one in seen or one not in functions:
            continue
        seen.add(one)
        for called in _called(functions[one], known):
            found.add(called)
            waiting.append(called)
    return frozenset(found)


def is_placeholder(text: str, name: str) -> bool:
    """Say whether a function is missing in a text, or still raises NotImplementedError as it was given out.

    >>> is_placeholder("def f(x):\\n    raise NotImplementedError()", "f")
    True
    """
    function = _functions(ast.parse(text)).get(name)
    return function is None or any(
        isinstance(line, ast.Raise) and "NotImplementedError" in ast.dump(line) for line in function.body
    )


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Return functions and classes at the top of a text, also those given a name by `f = njit(g)`."""
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            inner = [
                name.id for name in ast.walk(node.value) if isinstance(name, ast.Name) and name.id in found
            ]
            for target in node.targets:
                if isinstance(target, ast.Name) and inner:
                    found[target.id] = found[inner[-1]]
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute | ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name) and (dotted := _dotted(node.value, known)):
                    known[target.id] = dotted
    return known


def _called(function: ast.AST, known: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield PRODUCT
        elif isinstance(node, ast.Call | ast.Attribute | ast.Name):
            target = node.func if isinstance(node, ast.Call) else node
            if dotted := _dotted(target, known):
                yield dotted
            elif isinstance(target, ast.Attribute):
                yield f".{target.attr}"  # of a value: x.dot(y)


def _dotted(node: ast.AST, known: Mapping[str, str]) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([known.get(node.id, node.id), *reversed(parts)])
