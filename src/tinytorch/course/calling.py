"""A learner's function called on copies: what it returns as plain values, and whether it changed its inputs.

Used in the notebook and in the process apart, so that a check sees the same from both.
"""

import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.course import probes
from tinytorch.course.subject import Mine, NotAttemptedError, Other, Probe, RaisedError, WrongError, kinds

_STDLIB = Path(os.__file__).parent


def like(array: np.ndarray) -> np.ndarray:
    """Copy an array into memory of its own, in the same layout: C, Fortran, or with gaps."""
    if array.flags.c_contiguous:
        return array.copy()
    if array.flags.f_contiguous:
        return array.copy(order="F")
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def copied(value: Any) -> Any:
    """Copy an argument, arrays in their layout."""
    if isinstance(value, np.ndarray):
        return like(value)
    if isinstance(value, list | tuple):
        return type(value)(copied(part) for part in value)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    return value  # a number or a text, which nobody can change; a function; a probe with a state of its own


def resolved(value: Any, functions: Mapping[str, Any]) -> Any:
    """Put functions in the places of Probe and Mine."""
    if isinstance(value, Probe):
        function = getattr(probes, value.name)
        return function if value.made_with is None else function(*value.made_with)
    if isinstance(value, Mine):
        return function_of(value.name, functions)
    if isinstance(value, list | tuple):
        return type(value)(resolved(part, functions) for part in value)
    if isinstance(value, dict):
        return {key: resolved(part, functions) for key, part in value.items()}
    return value


def function_of(target: str | Probe, functions: Mapping[str, Any]) -> Any:
    """Return the function that a call is of."""
    if isinstance(target, Probe):
        return resolved(target, functions)
    function = functions.get(target)
    if function is None:
        raise NotAttemptedError(f"there is no function {target} yet")
    if not callable(function):
        raise WrongError(f"{target} is a {type(function).__name__}, not a function")
    return function


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path) -> Any:
    """Call a function on copies, and return its result as plain values.

    `folder` is the tinytorch.course package's, whose lines are no learner's. Raises as `Subject.call` does.
    """
    given = copied(args), copied(kwargs)
    result = guarded(function, *given, folder)
    if changed := _changed((args, kwargs), given):
        raise WrongError(
            f"it changed its input {changed} in place",
            "An input belongs to the caller: make a new array for the result, as np.empty_like does.",
        )
    return plain(result)


def guarded(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], folder: Path) -> Any:
    """Call a function; what it raises becomes RaisedError or NotAttemptedError."""
    try:
        return function(*args, **kwargs)
    except NotImplementedError as error:
        raise NotAttemptedError(str(error) or "it still raises NotImplementedError") from None
    except (WrongError, NotAttemptedError):
        raise
    except Exception as error:  # whatever a learner's code may raise
        raise raised(error, folder) from None


def raised(error: BaseException, folder: Path) -> RaisedError:
    """Describe an exception, with the last line of the learner's own."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not {folder, _STDLIB} & {*Path(frame.filename).parents}
    ]
    where = f"line {frames[-1].lineno}: {frames[-1].line}" if frames and frames[-1].line else ""
    message = " ".join(str(error).split())
    return RaisedError(kinds(error), message if len(message) < 500 else message[:500] + " …", where)


def _changed(before: Any, after: Any) -> str:
    """Return which of the arguments is not what it was; empty if none."""
    args, kwargs = before
    for place, (old, new) in enumerate(zip(args, after[0], strict=True)):
        if not same(old, new):
            return f"number {place + 1}"
    for name, old in kwargs.items():
        if not same(old, after[1][name]):
            return name
    return ""


def same(old: Any, new: Any) -> bool:
    """Say whether two arguments hold the same, bit for bit."""
    if isinstance(old, np.ndarray):
        return (
            isinstance(new, np.ndarray)
            and (old.shape, old.dtype) == (new.shape, new.dtype)
            and old.tobytes() == new.tobytes()
        )
    if isinstance(old, list | tuple):
        return len(old) == len(new) and all(same(a, b) for a, b in zip(old, new, strict=True))
    if isinstance(old, dict):
        return old.keys() == new.keys() and all(same(part, new[key]) for key, part in old.items())
    return old is new


def plain(value: Any) -> Any:
    """Return a result as plain values: a Tensor as its array, what no exercise returns as `Other`."""
    from tinytorch.core.tensor import Tensor

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return plain(value.data)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return Other(f"array of {array.dtype}") if array.dtype.hasobject else array.copy()
    if isinstance(value, list | tuple):
        return (
            type(value)(plain(part) for part in value)
            if type(value) in (list, tuple)
            else list(map(plain, value))
        )
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    return Other(type(value).__name__)
