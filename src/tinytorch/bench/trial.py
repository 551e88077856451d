"""A learner's kernel tried on inputs that grow, before it is timed: whether it is right, and whether it ends.

A product in the interpreter would take minutes at a size that a compiled one does in milliseconds, so the
time at each size is reckoned from the one before; what would take too long is not begun.
"""

import contextlib
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.bench.answers import ANSWERS
from tinytorch.bench.ladder import drawn
from tinytorch.course.subject import NotRunError, Other, RaisedError, Subject, WrongError
from tinytorch.ops.registry import Operation, Rung, mismatch
from tinytorch.runtime.arrays import DType

#: Seconds that one call may take: four or five of them are what a measurement needs at least.
LONGEST = 5.0
#: By how much the sides of the shapes tried first are smaller; they differ, and blocks have edges there.
_SMALLER = (16, 4)


@dataclass(frozen=True)
class LeftOut:
    """Why a kernel is not timed."""

    why: str
    wrong: bool  # rather than slow


@dataclass(frozen=True)
class Tried:
    """What a trial found: seconds of a call, or why it is left out; and whether it prints."""

    found: float | LeftOut
    prints: bool


def attempt(
    name: str, rung: Rung, operation: Operation, shape: Any, subject: Subject, apart: Subject | None = None
) -> Tried:
    """Try the function of an exercise; raises NotAttemptedError if there is nothing to be tried.

    First it is tried `apart`, in a process of its own, where a crash or a loop without end does no harm.
    """
    heard = io.StringIO()
    shapes = (*(_smaller(shape, by) for by in _SMALLER), shape)
    with contextlib.redirect_stdout(heard):
        found: float | LeftOut = 0.0
        with contextlib.suppress(NotRunError):  # no process starts: then it is tried here at once
            if apart is not None:
                found = _found(name, rung, operation, shapes[:1], shape, apart)
        if not isinstance(found, LeftOut):
            found = _found(name, rung, operation, shapes, shape, subject)
    return Tried(found, bool(heard.getvalue()))


def _found(
    name: str, rung: Rung, operation: Operation, shapes: tuple[Any, ...], shape: Any, subject: Subject
) -> float | LeftOut:
    before = None
    for tried in shapes:
        inputs = drawn(operation, tried)
        work = operation.cost(*inputs).operations
        if before is not None:
            reckoned = before[0] * work / before[1]
            if reckoned > LONGEST:
                return _too_long(reckoned)
        options = ANSWERS[name].options(*inputs)
        try:
            found, seconds = _timed(subject, name, inputs, options, again=before is None)
        except RaisedError as error:
            where = f" ({error.where})" if error.where else ""
            return LeftOut(f"{_at(tried, shape)}it raised {error}{where}", wrong=True)
        except WrongError as error:
            return LeftOut(f"{_at(tried, shape)}{error}", wrong=True)
        wrong = _unlike(found, operation.reference(*inputs), ANSWERS[name].result) or mismatch(
            found, rung.reference(*inputs), rung.bound(*inputs)
        )
        if wrong:
            return LeftOut(f"{_at(tried, shape)}{wrong}", wrong=True)
        if seconds > LONGEST:
            return _too_long(seconds)
        before = seconds, work
    return seconds


def _timed(
    subject: Subject, name: str, inputs: tuple[Any, ...], options: Mapping[str, Any], again: bool
) -> tuple[Any, float]:
    """Return a result and the seconds of a call: of a second one where the first compiles."""
    seconds = 0.0
    for _ in range(2 if again else 1):
        begin = time.perf_counter()
        found = subject.call(name, *inputs, **options)
        seconds = time.perf_counter() - begin
    return found, seconds


def _too_long(seconds: float) -> LeftOut:
    return LeftOut(
        f"a call takes about {seconds:,.0f} s, and more than {LONGEST:g} s are not waited for; are its loops "
        "compiled?",
        wrong=False,
    )


def _smaller(shape: tuple[int, ...], by: int) -> tuple[int, ...]:
    return tuple(side // by + 1 + place for place, side in enumerate(shape))


def _at(tried: tuple[int, ...], shape: tuple[int, ...]) -> str:
    return "" if tried == shape else f"at {' x '.join(map(str, tried))}, "


def _unlike(found: Any, expected: Any, dtype: DType) -> str | None:
    """Say if a result is of another kind than it should be; a number may be of any."""
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            return f"it returned {_told(found)}, not a dict"
        parts = ((key, _unlike(found.get(key), part, dtype)) for key, part in expected.items())
        return next((f"{key}: {wrong}" for key, wrong in parts if wrong), None)
    if np.shape(expected) == () and isinstance(found, int | float | np.ndarray):
        return None
    if not isinstance(found, np.ndarray):
        return f"it returned {_told(found)}, not an array"
    return None if found.dtype == dtype else f"the result is {found.dtype}, not {dtype}"


def _told(value: Any) -> str:
    if value is None or isinstance(value, Other):
        return repr(value)
    return f"a {type(value).__name__}"
