"""A submission's cells in the process that runs them, and one method for each thing that is asked of it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tinytorch.course import calling, local
from tinytorch.course.subject import NotAttemptedError, RaisedError, Target, WrongError, kinds

#: The module that the cells make.
MODULE = "kernels"
_HERE = Path(__file__).parents[1]


class Cells(local.Local):
    """The cells as one module."""

    def __init__(self, folder: Path) -> None:
        module = ModuleType(MODULE)
        sys.modules[MODULE] = module
        super().__init__(vars(module))
        self._folder, self._namespace = folder, vars(module)
        self._given: dict[int, tuple[Any, Any, Any]] = {}  # function, args, kwargs
        self._returned: dict[int, Any] = {}

    def answer(self, do: str, **request: Any) -> dict[str, Any]:
        """Do what is asked; what the learner's code raises is an answer, too."""
        try:
            return {"value": getattr(self, f"do_{do}")(**request)}
        except NotAttemptedError as error:
            return {"error": "not attempted", "message": str(error)}
        except WrongError as error:
            return {"error": "wrong", "message": str(error), "hint": error.hint}
        except RaisedError as error:
            found = error
        except BaseException as error:  # SystemExit, too
            found = calling.raised(error, _HERE)
        return {"error": "raised", "kinds": list(found.kinds), "message": found.message, "where": found.where}

    def do_nothing(self, value: Any = None) -> Any:
        """Answer with what is given: how long that takes is no part of a call's time."""
        return value

    def do_load(self, file: str, text: str) -> None:
        """Run a cell."""
        path = str(self._folder / file)
        try:
            code = compile(text, path, "exec", dont_inherit=True)
        except SyntaxError as error:
            where = f"line {error.lineno}: {(error.text or '').strip()}"
            raise RaisedError(kinds(error), error.msg, where) from None
        exec(code, self._namespace)

    def do_find(self, target: Target) -> None:
        """Raise NotAttemptedError if there is no such function, or a placeholder."""
        self._function(target)

    def do_call(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the function returns."""
        return self.call(target, *args, **kwargs)

    def do_ready(self, place: int, target: Target, args: Any, kwargs: Any) -> None:
        """Take one of two calls that are going to be timed, of a function that was found before."""
        function = calling.function_of(target, self._namespace)
        self._given[place] = (function, *self._resolved(args, kwargs))

    def do_go(self, place: int) -> None:
        """Make the call, and keep what it returns: only this is timed."""
        function, args, kwargs = self._given[place]
        self._returned[place] = calling.guarded(function, args, kwargs, _HERE)

    def do_result(self, place: int) -> Any:
        """Return what one of the calls returned last."""
        return calling.plain(self._returned[place])

    def do_busiest(self, target: Target, args: Any, kwargs: Any, seconds: float) -> float:
        """Return the busiest thread's part of all CPU time."""
        return self.busiest(target, *args, seconds=seconds, **kwargs)

    def do_ptx(self, name: str, args: Sequence[Any]) -> tuple[str, list[str]]:
        """Return a kernel as PTX, and the names of its parameters."""
        from tinytorch.gpu.frontends.numba_cuda import to_ptx

        ptx, names = to_ptx(self._function(name), args)
        return ptx, list(names)
