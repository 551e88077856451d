"""A learner's code in this process: what the notebook's own check cells use."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinytorch.course import calling, reading, shares, sources
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
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds + 1):
            for place in (0, 1) if number % 2 else (1, 0):
                args, kwargs = calling.copied(given[place])
                start = time.perf_counter()
                results[place] = calling.guarded(functions[place], args, kwargs, _HERE)
                times[place].append(time.perf_counter() - start)
        one, other = map(calling.plain, results)
        least = [min(seen[1:]) for seen in times]  # the first was for compiling
        return Ratio(least[0] / least[1], one, other, ((first.args, one),))

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
            return reading.uses(sources.of(self._functions, name), name)
        except (OSError, TypeError, SyntaxError, RecursionError):
            raise WrongError(
                f"the text of {name}, or of a function that it calls, cannot be read",
                "Define each function in a cell, with def.",
            ) from None

    def _function(self, target: Target) -> Any:
        function = calling.function_of(target, self._functions)
        if isinstance(target, str):
            try:
                text = sources.own(function)
            except (OSError, TypeError):  # typed at a prompt, or none of Python's: then the call will tell
                return function
            name = getattr(sources.plain(function), "__name__", target)
            if name != "<lambda>" and reading.is_placeholder(text, name):
                raise NotAttemptedError(f"{target} still raises NotImplementedError")
        return function

    def _resolved(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return calling.resolved(args, self._functions), calling.resolved(kwargs, self._functions)
