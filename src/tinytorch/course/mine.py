"""A learner's exported kernels, loaded, and laid over the library's names in `tinytorch.core.kernels`.

The learner's take and give arrays; under the library's names they also take tensors, and give them.
"""

import functools
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from tinytorch.core.tensor import Tensor
from tinytorch.runtime import arrays
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.workspace import EXPORTED

#: The name under which an export is imported from a script in the workspace.
NAME = ".".join(EXPORTED.with_suffix("").parts)

#: These are given functions and batches, and hand on what those return.
_AS_THEY_ARE = ("time_kernel", "parallel_batch_processing")


def functions(folder: Path) -> dict[str, Callable[..., Any]]:
    """Return the functions that a workspace exports, by name, as the learner wrote them.

    Raises InputError if nothing has been exported, or what was cannot be imported.
    """
    path = folder / EXPORTED
    if not path.is_file():
        raise InputError(f"{folder} has no exported kernels; tito export 13_kernels makes them")
    module = load(path)
    found = {name: getattr(module, name, None) for name in getattr(module, "__all__", ())}
    return {name: value for name, value in found.items() if callable(value)}


def load(path: Path) -> ModuleType:
    """Import an exported file, once for each process; InputError says why it cannot be imported."""
    path = path.resolve()
    known = sys.modules.get(NAME)
    # `__all__` is its last line: without it the export is being imported, asks for the library's kernels, and
    # so for itself. Then it is run once more, as a module of its own.
    if getattr(known, "__file__", None) == str(path) and hasattr(known, "__all__"):
        return known  # type: ignore[return-value]
    spec = importlib.util.spec_from_file_location(NAME, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module  # pickle and numba look functions up by the name of their module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a learner's code may raise
        del sys.modules[NAME]
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f" (line {lines[-1].lineno}: {lines[-1].line})" if lines else ""
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")
        raise InputError(f"{path} cannot be imported: {told}{where}") from error
    finally:
        if known is not None:
            sys.modules[NAME] = known
    return module


def overlay(folder: Path, library: Mapping[str, Any]) -> dict[str, Any]:
    """Return what takes the place of the library's names, and `__all__` with the learner's own names, too.

    `library` is the namespace of `tinytorch.core.kernels`. An own name that this file uses for something else
    is left out. Of an export that cannot be imported a warning tells, and nothing is replaced.
    """
    try:
        found = functions(folder)
    except InputError as error:
        warnings.warn(f"{error}; the library's kernels are used", stacklevel=2)
        return {}
    public: Iterable[str] = library["__all__"]
    kernels = {name for name in public if isinstance(library.get(name), FunctionType)}
    placed = {
        name: _as_kernel(name, function) if name in kernels and name not in _AS_THEY_ARE else function
        for name, function in found.items()
        if name in kernels or name not in library
    }
    return placed | {"__all__": sorted({*public, *placed})}


def _as_kernel(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a learner's kernel take tensors, and return them."""

    @functools.wraps(function)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        given = [_array(f"argument {place}", value) for place, value in enumerate(args, 1)]
        result = function(*given, **{key: _array(key, value) for key, value in kwargs.items()})
        if isinstance(result, dict):
            return {
                key: Tensor(np.asarray(value)) if isinstance(value, float) else _tensor(value)
                for key, value in result.items()
            }
        return _tensor(result)

    kernel.__module__ = "tinytorch.core.kernels"  # pickle finds it there
    kernel.__name__ = kernel.__qualname__ = name
    return kernel


def _array(name: str, value: Any) -> Any:
    """Return an argument as an array if it is one of any kind, or a list; numbers stay."""
    if isinstance(value, np.generic):
        return value
    if isinstance(value, list) or hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        return arrays.read(name, value)
    return value


def _tensor(value: Any) -> Any:
    return Tensor(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value
