"""The names that a statement binds and uses: which cells of a notebook lean on which."""

import ast
import re
from collections.abc import Iterator

from tinytorch.course.reading import parsed


def bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds in its own namespace.

    >>> list(bound(ast.parse("try: import numpy as np\\nexcept ImportError: np = None")))
    ['np', 'np']
    """
    waiting = [node]  # and no recursion: a text may nest as deeply as Python reads
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield one.name
        elif isinstance(one, ast.alias):
            yield one.asname or one.name.partition(".")[0]
        elif isinstance(one, ast.Name):
            if isinstance(one.ctx, ast.Store):
                yield one.id
        elif not isinstance(one, ast.Lambda):
            waiting += reversed([*ast.iter_child_nodes(one)])


def used(node: ast.AST) -> set[str]:
    """Return the names that a statement takes from around it: not arguments and variables of its own.

    >>> sorted(used(ast.parse("def f(x): y = g(x); return y")))
    ['g']
    """
    taken, own = set[str](), set[str]()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            (taken if isinstance(part.ctx, ast.Load) else own).add(part.id)
        elif isinstance(part, ast.arg):
            own.add(part.arg)
    return taken - own


def of_cell(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a cell binds, and those it uses; of one that is no Python, what `def` binds.

    >>> of_cell("def f(x): return g(x")
    (frozenset({'f'}), frozenset())
    """
    tree = parsed(source)
    if tree is None:
        return frozenset(re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE)), frozenset()
    return frozenset(bound(tree)), frozenset(name for node in tree.body for name in used(node))
