"""Results held against what they should be, and the words for each way of being wrong."""

from collections.abc import Collection
from typing import Any

import numpy as np

from tinytorch.course.subject import Other, RaisedError, Subject, WrongError


def array(what: str, found: Any, shape: tuple[int, ...], dtype: Any, hint: str = "") -> np.ndarray:
    """Return a result that is an array of this shape and dtype; WrongError tells what it is instead."""
    if found is None:
        raise WrongError(f"{what} returned None", "Does it end with a return?")
    if isinstance(found, Other) or not isinstance(found, np.ndarray):
        raise WrongError(f"{what} returned {told(found)}, not an array", hint)
    if found.shape != shape:
        raise WrongError(f"{what} has shape {found.shape}, should have {shape}", hint)
    if found.dtype != dtype:
        raise WrongError(f"{what} is {found.dtype}, should be {np.dtype(dtype)}", hint)
    return found


def equal(what: str, found: Any, expected: np.ndarray, hint: str = "") -> None:
    """Require the same shape, dtype and values, NaN where NaN should be."""
    found = array(what, found, expected.shape, expected.dtype, hint)
    wrong = ~((found == expected) | _both_nan(found, expected))
    _require(what, wrong, found, expected, hint)


def close(what: str, found: Any, expected: np.ndarray, bound: Any, dtype: Any, hint: str = "") -> None:
    """Require values within a bound of what they should be; `expected` is in float64."""
    found = array(what, found, expected.shape, dtype, hint)
    with np.errstate(invalid="ignore"):
        wrong = ~((np.abs(found - expected) <= bound) | (found == expected) | _both_nan(found, expected))
    _require(what, wrong, found, expected, hint)


def _both_nan(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    if found.dtype.kind != "f" or expected.dtype.kind != "f":
        return np.zeros(found.shape, bool)
    return np.isnan(found) & np.isnan(expected)


def _require(what: str, wrong: np.ndarray, found: np.ndarray, expected: np.ndarray, hint: str) -> None:
    if wrong.any():
        place = tuple(int(number) for number in np.argwhere(wrong)[0])
        at = f" at {list(place)}" if place else ""
        count = int(wrong.sum())
        raise WrongError(
            f"{what} is wrong in {count} of {wrong.size} values:{at} it is {found[place]:.9g}, "
            f"should be {expected[place]:.9g}",
            hint,
        )


def called(learner: Subject, what: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Return what a call returns; `what` tells which call it was, in case that it raises."""
    try:
        return learner.call(name, *args, **kwargs)
    except RaisedError as error:
        raise WrongError(f"{what} raised {error}", error.where) from None


def raises(
    learner: Subject,
    kinds: Collection[str],
    why: str,
    name: str,
    /,
    *args: Any,
    otherwise: str = "",
    **kwargs: Any,
) -> RaisedError:
    """Require that a call raises one of these exceptions; `why` says for what. Returns what was raised.

    `otherwise` is the hint for a call that returns.
    """
    wanted = " or ".join(kinds)
    try:
        found = learner.call(name, *args, **kwargs)
    except RaisedError as error:
        if not set(kinds) & set(error.kinds):
            raise WrongError(
                f"for {why}, {name} raised {error}, should raise {wanted}", error.where
            ) from None
        return error
    raise WrongError(f"for {why}, {name} returned {told(found)}, should raise {wanted}", otherwise)


def told(value: Any) -> str:
    """Return a result in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}" if value.shape else f"{value.item()!r}"
    text = " ".join(repr(value).split())
    return text if len(text) < 80 else f"{text[:80]} …"
