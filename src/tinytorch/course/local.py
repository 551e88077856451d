"""A learner's code in this process: what the notebook's own check cells use."""

import ast
import contextlib
import functools
import inspect
import linecache
import os
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from tinytorch.course import calling, reading, shares
from tinytorch.course.subject import (
    GPU_STEPS,
    Call,
    NotAttemptedError,
    NotRunError,
    Ratio,
    Target,
    WrongError,
)
from tinytorch.gpu.analysis.result import Analysis

_HERE = Path(__file__).parent
_STDLIB = Path(os.__file__).parent


class Local:
    """The `Subject` that calls functions of this process, by name."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions

    def call(self, target: Target, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        return calling.call(self._function(target), *self._resolved(args, kwargs), _HERE)

    def ratio(self, first: Call, second: Call, rounds: int = 7) -> Ratio:
        """Time two calls in turns."""
        functions = [self._function(call.target) for call in (first, second)]
        given = [self._resolved(call.args, call.kwargs) for call in (first, second)]
        results: list[Any] = [None, None]
        ratios = []
        for number in range(rounds + 1):
            times = [0.0, 0.0]
            for place in (0, 1) if number % 2 else (1, 0):
                args, kwargs = calling.copied(given[place])
                start = time.perf_counter()
                results[place] = calling.guarded(functions[place], args, kwargs, _HERE)
                times[place] = time.perf_counter() - start
            if number:  # the first was for compiling
                ratios.append(times[0] / times[1])
        return Ratio(median(ratios), *map(calling.plain, results))

    def busiest(self, target: Target, /, *args: Any, seconds: float = 1.0, **kwargs: Any) -> float:
        """Return the busiest thread's part of all CPU time."""
        function = self._function(target)
        args, kwargs = self._resolved(args, kwargs)
        calling.guarded(function, calling.copied(args), calling.copied(kwargs), _HERE)
        return shares.busiest(lambda: calling.guarded(function, args, kwargs, _HERE), seconds)

    def gpu(self, name: str, grid: Any, block: Any, /, *args: Any) -> Analysis:
        """Compile a kernel and run it in the emulator."""
        from tinytorch import gpu
        from tinytorch.gpu.frontends.numba_cuda import from_numba_cuda
        from tinytorch.runtime.extras import MissingExtraError

        kernel = self._function(name)
        try:
            return gpu.analyze(from_numba_cuda(kernel, grid, block, args), steps=GPU_STEPS)
        except MissingExtraError as error:
            raise NotRunError(str(error)) from None
        except Exception as error:  # whatever a kernel may be
            raise calling.raised(error, _HERE) from None

    def uses(self, name: str) -> frozenset[str]:
        """Return what a function calls; WrongError where its text cannot be had."""
        self._function(name)
        try:
            return reading.uses(_source(self._functions, name), name)
        except (OSError, TypeError, SyntaxError, RecursionError):
            raise WrongError(
                f"the text of {name}, or of a function that it calls, cannot be read",
                "Define each function in a cell, with def.",
            ) from None

    def _function(self, target: Target) -> Any:
        function = calling.function_of(target, self._functions)
        if isinstance(target, str):
            try:
                text = _own_source(function)
            except (OSError, TypeError):  # typed at a prompt, or none of Python's: then the call will tell
                return function
            name = getattr(_plain(function), "__name__", target)
            if name != "<lambda>" and reading.is_placeholder(text, name):
                raise NotAttemptedError(f"{target} still raises NotImplementedError")
        return function

    def _resolved(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return calling.resolved(args, self._functions), calling.resolved(kwargs, self._functions)


def _plain(function: Any) -> Any:
    """Return the Python function behind a compiled one: of numba's dispatchers and universal functions."""
    for maker in (
        function,
        getattr(function, "_dispatcher", None),
        getattr(function, "gufunc_builder", None),
    ):
        if inspect.isfunction(plain := getattr(maker, "py_func", None)):
            return plain
    return function


def _own_source(function: Any) -> str:
    function = _plain(function)
    return textwrap.dedent(
        _class_source(function) if inspect.isclass(function) else inspect.getsource(function)
    )


def _class_source(known: type) -> str:
    """Return the text of a class by the file of one of its methods: a notebook's class has none itself."""
    for method in map(_plain, vars(known).values()):
        if inspect.isfunction(method):
            text = "".join(linecache.getlines(method.__code__.co_filename))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and node.name == known.__name__:
                    return ast.get_source_segment(text, node, padded=True) or ""
    return inspect.getsource(known)


def _source(functions: Mapping[str, Any], name: str) -> str:
    """Return the text of a function, of all of the learner's that it names, and imports of the rest."""
    texts: dict[str, str] = {}
    imports: set[str] = set()
    waiting = [(name, calling.function_of(name, functions))]
    seen: set[tuple[str, int]] = set()
    while waiting:
        known_as, value = waiting.pop()
        if (known_as, id(value)) in seen:
            continue
        seen.add((known_as, id(value)))
        compiled, value = value, _plain(value)
        if isinstance(value, ModuleType):
            imports.add(f"import {value.__name__} as {known_as}")
        elif parts := _parts(value):
            waiting += ((f"{known_as}_{number}", part) for number, part in enumerate(parts))
            imports.add(f"{known_as} = [{', '.join(f'{known_as}_{number}' for number in range(len(parts)))}]")
        elif _is_own(value):
            text, given = _own_source(value), value.__name__
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


def _parts(value: Any) -> list[Any]:
    """Return the functions that a value holds: a list or dict of them, one with arguments, an object."""
    if isinstance(value, functools.partial):
        return [functools.partial, value.func, *value.args, *value.keywords.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
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
    return not ("site-packages" in path.parts or _HERE.parent in path.parents or _STDLIB in path.parents)


def _surroundings(value: Any) -> dict[str, Any]:
    """Return what the names in a function's or class's text stand for."""
    if inspect.isclass(value):
        methods = [part for part in vars(value).values() if inspect.isfunction(_plain(part))]
        return {name: found for part in methods for name, found in _surroundings(_plain(part)).items()}
    around = dict(value.__globals__)
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a variable that is given a value only later
            around[name] = cell.cell_contents
    return around
