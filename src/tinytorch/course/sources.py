"""The text of a function as it stands in this process, with all of the learner's that it leans on.

A notebook may define a name again, compile a function under another one, keep functions in tables and
objects: it is what the names stand for now that counts, not the cells.
"""

import ast
import contextlib
import functools
import inspect
import linecache
import os
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinytorch.course import calling, reading

_PACKAGE = Path(__file__).parents[1]
_STDLIB = Path(os.__file__).parent


def plain(function: Any) -> Any:
    """Return the Python function behind a compiled one: of numba's dispatchers and universal functions."""
    for maker in (
        function,
        getattr(function, "_dispatcher", None),
        getattr(function, "gufunc_builder", None),
    ):
        if inspect.isfunction(found := getattr(maker, "py_func", None)):
            return found
    return function


def own(function: Any) -> str:
    """Return the text of one function or class. Raises OSError or TypeError where it cannot be had."""
    function = plain(function)
    return textwrap.dedent(
        _class_source(function) if inspect.isclass(function) else inspect.getsource(function)
    )


def _class_source(known: type) -> str:
    """Return the text of a class by the file of one of its methods: a notebook's class has none itself."""
    for method in map(plain, vars(known).values()):
        if inspect.isfunction(method):
            text = "".join(linecache.getlines(method.__code__.co_filename))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and node.name == known.__name__:
                    return ast.get_source_segment(text, node, padded=True) or ""
    return inspect.getsource(known)


def of(functions: Mapping[str, Any], name: str) -> str:
    """Return the text of a function, of all of the learner's that it names, and imports of the rest.

    Raises OSError, TypeError or SyntaxError where one of them cannot be had.
    """
    texts: dict[str, str] = {}
    imports: set[str] = set()
    waiting = [(name, calling.function_of(name, functions))]
    seen: set[tuple[str, int]] = set()
    holders: dict[int, str] = {}  # by what first name a value is known that holds others: itself, perhaps
    while waiting:
        known_as, value = waiting.pop()
        if (known_as, id(value)) in seen:
            continue
        seen.add((known_as, id(value)))
        if isinstance(value, functools._lru_cache_wrapper):
            value = value.__wrapped__
        compiled, value = value, plain(value)
        if isinstance(value, ModuleType):
            imports.add(f"import {value.__name__} as {known_as}")
        elif id(value) in holders:
            imports.add(f"{known_as} = {holders[id(value)]}")
        elif _is_bare(value) or (not inspect.isclass(value) and _parts(value)):
            parts = _parts(value)
            holders[id(value)] = known_as
            waiting += ((f"{known_as}_{number}", part) for number, part in enumerate(parts))
            imports.add(f"{known_as} = [{', '.join(f'{known_as}_{number}' for number in range(len(parts)))}]")
        elif isinstance(value, np.ufunc) and not _is_librarys(value):  # numba's: it does not keep its text
            imports |= {"from numba import vectorize", f"{known_as} = vectorize(None)"}
        elif _is_own(value):
            text, given = own(value), value.__name__
            texts[f"{given} {id(value)}"] = text
            if compiled is not value:  # where the text of the function does not say so: f = njit(g)
                imports.add("from numba import njit")
                imports.add(f"{known_as} = njit({given if given != '<lambda>' else known_as})")
            elif given not in (known_as, "<lambda>"):
                imports.add(f"{known_as} = {given}")
            around = _surroundings(value)
            waiting += ((used, around[used]) for used in reading.names(text) if used in around)
        elif name_of := getattr(value, "__name__", ""):
            module = getattr(value, "__module__", None)
            if module == "__main__":
                continue
            imports.add(
                f"from {module} import {name_of} as {known_as}" if module else f"{known_as} = None.{name_of}"
            )
    return "\n".join([*sorted(imports), *texts.values()])


def _is_librarys(value: np.ufunc) -> bool:
    """Say whether a universal function is NumPy's or SciPy's."""
    name = value.__name__.rpartition(".")[2]
    return any(
        getattr(sys.modules.get(library), name, None) is value
        for library in ("numpy", "numpy.linalg", "scipy.special")
    )


def _is_bare(value: Any) -> bool:
    """Say whether a class is the learner's and has no text: in a notebook, if no method of it is written."""
    if not (inspect.isclass(value) and _is_own(value)):
        return False
    try:
        return not _class_source(value)
    except (OSError, TypeError):
        return True


def _parts(value: Any) -> list[Any]:
    """Return the functions that a value holds: a list or dict of them, one with arguments, an object."""
    if inspect.isclass(value):  # one without a text
        return [part for name, part in vars(value).items() if not name.startswith("_")]
    if isinstance(value, functools.partial):
        return [functools.partial, value.func, *value.args, *value.keywords.values()]
    if isinstance(value, list | tuple | set | frozenset | dict):
        return list(value.values() if isinstance(value, dict) else value)
    if inspect.ismethod(value) and _is_own(value.__func__):
        return [value.__func__, value.__self__]
    if _is_own(type(value)):
        return [type(value), *getattr(value, "__dict__", {}).values()]
    return []


def _is_own(value: Any) -> bool:
    """Say whether a function or class was written by the learner: no module of a library has it."""
    if inspect.isfunction(value):
        path = Path(value.__code__.co_filename)
    elif not inspect.isclass(value) or value.__module__ in sys.builtin_module_names:
        return False
    elif value.__module__ == "__main__" or value.__module__ not in sys.modules:
        return True
    else:
        file = getattr(sys.modules[value.__module__], "__file__", None)
        if file is None:
            return False
        path = Path(file)
    return not ("site-packages" in path.parts or _PACKAGE in path.parents or _STDLIB in path.parents)


def _surroundings(value: Any) -> dict[str, Any]:
    """Return what the names in a function's or class's text stand for."""
    if inspect.isclass(value):
        methods = [part for part in vars(value).values() if inspect.isfunction(plain(part))]
        return {name: found for part in methods for name, found in _surroundings(plain(part)).items()}
    around = dict(value.__globals__)
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a variable that is given a value only later
            around[name] = cell.cell_contents
    return around
