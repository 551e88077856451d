"""A learner's code in this process: what the notebook's own check cells use."""

import inspect
import os
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from tinytorch.course import calling, reading, shares
from tinytorch.course.subject import Call, NotAttemptedError, NotRunError, Ratio, Target
from tinytorch.gpu.analysis.result import Analysis

_HERE = Path(__file__).parent


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
        with shares.watching(os.getpid()) as seen:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                calling.guarded(function, args, kwargs, _HERE)
        return seen.busiest()

    def gpu(self, name: str, grid: Any, block: Any, /, *args: Any) -> Analysis:
        """Compile a kernel and run it in the emulator."""
        from tinytorch import gpu
        from tinytorch.gpu.frontends.numba_cuda import from_numba_cuda
        from tinytorch.runtime.extras import MissingExtraError

        kernel = self._function(name)
        try:
            return gpu.analyze(from_numba_cuda(kernel, grid, block, args))
        except MissingExtraError as error:
            raise NotRunError(str(error)) from None
        except Exception as error:  # whatever a kernel may be
            raise calling.raised(error, _HERE) from None

    def uses(self, name: str) -> frozenset[str]:
        """Return what a function calls."""
        return reading.uses(_source(self._functions, name), name)

    def _function(self, target: Target) -> Any:
        function = calling.function_of(target, self._functions)
        if isinstance(target, str):
            try:
                text = _own_source(function)
            except (OSError, TypeError):  # typed at a prompt, or none of Python's: then the call will tell
                return function
            if reading.is_placeholder(text, getattr(_plain(function), "__name__", target)):
                raise NotAttemptedError(f"{target} still raises NotImplementedError")
        return function

    def _resolved(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return calling.resolved(args, self._functions), calling.resolved(kwargs, self._functions)


def _plain(function: Any) -> Any:
    """Return the Python function behind a compiled one."""
    return getattr(function, "py_func", function)


def _own_source(function: Any) -> str:
    return textwrap.dedent(inspect.getsource(_plain(function)))


def _source(functions: Mapping[str, Any], name: str) -> str:
    """Return the text of a function, of what it calls of the learner's, and imports of the rest."""
    texts: dict[str, str] = {}
    imports: set[str] = set()
    waiting = [(name, calling.function_of(name, functions))]
    while waiting:
        known_as, value = waiting.pop()
        function = _plain(value)
        if known_as in texts:
            continue
        if isinstance(value, ModuleType):
            imports.add(f"import {value.__name__} as {known_as}")
        elif inspect.isfunction(function) and not _is_library(function):
            texts[known_as] = _own_source(function)
            names = function.__code__.co_names
            waiting += [(used, function.__globals__[used]) for used in names if used in function.__globals__]
            if function.__name__ != known_as:
                imports.add(f"{known_as} = {function.__name__}")
        elif module := getattr(value, "__module__", None):
            imports.add(f"from {module} import {getattr(value, '__name__', known_as)} as {known_as}")
    return "\n".join([*sorted(imports), *texts.values()])


def _is_library(function: Any) -> bool:
    path = Path(function.__code__.co_filename)
    return "site-packages" in path.parts or _HERE.parent in path.parents
