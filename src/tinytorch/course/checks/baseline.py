"""Step 1: a clock around a call, and the product that everything else is measured against."""

import math
from typing import Any

import numpy as np

from tinytorch.course.checks import by_hand, clocks, comparing, products
from tinytorch.course.exercises import exercise
from tinytorch.course.subject import Probe, Subject, WrongError

#: What a unit other than microseconds makes of a second, and how it is told.
_UNITS = {1.0: "seconds", 1e3: "milliseconds", 1e9: "nanoseconds"}


@exercise(step=1, points=4)
def time_kernel(learner: Subject, rng: np.random.Generator) -> None:
    """Time one call."""
    given = rng.standard_normal(5)
    passed = _timed(learner, Probe("echo"), given, 3, scale=0.5)[0]
    _require_passed(passed, given)
    calls = _timed(learner, Probe("counting", ()))[0]
    if calls != 1:
        raise WrongError(
            f"func was called {comparing.told(calls)} times, should be called once",
            "Call it between the two readings of the clock, and keep what it returns.",
        )
    _require_times(learner, *(float(seconds) for seconds in rng.uniform((0.01, 0.06), (0.015, 0.08))))
    clocks.no_time_of_day(learner, "time_kernel")
    why = "a func that raises ArithmeticError"
    comparing.raises(learner, ("ArithmeticError",), why, "time_kernel", Probe("failing"))


_ORDER = "Return a pair: first the result, then the microseconds."


def _timed(learner: Subject, *args: Any, **kwargs: Any) -> tuple[Any, float]:
    found = learner.call("time_kernel", *args, **kwargs)
    if not (isinstance(found, list | tuple) and len(found) == 2):
        raise WrongError(f"time_kernel returned {comparing.told(found)}, should return two values", _ORDER)
    result, microseconds = found
    if isinstance(result, float) and not isinstance(microseconds, int | float):
        raise WrongError("the first value is a number, the second what func returned", _ORDER)
    if isinstance(microseconds, bool) or not isinstance(microseconds, int | float | np.ndarray):
        raise WrongError(f"the second value is {comparing.told(microseconds)}, should be a number", _ORDER)
    if np.ndim(microseconds):
        raise WrongError("the second value is an array, should be a number of microseconds", _ORDER)
    try:
        finite = math.isfinite(microseconds)
    except (TypeError, OverflowError):  # a complex number, one beyond all floats
        finite = False
    if not finite:
        raise WrongError(f"the second value is {comparing.told(microseconds)}, which is no time", _ORDER)
    return result, float(microseconds)


def _require_passed(passed: Any, given: np.ndarray) -> None:
    hint = "func(*args, **kwargs) hands on all that came after func."
    if not isinstance(passed, dict):
        raise WrongError(
            f"the first value is {comparing.told(passed)}, should be what func returned",
            "It is what func(*args, **kwargs) returns, as it came.",
        )
    args, kwargs = passed.get("args"), passed.get("kwargs")
    if not isinstance(args, list) or len(args) != 2:
        raise WrongError(f"func was called with {len(args or [])} arguments, should be 2", hint)
    if not isinstance(args[0], np.ndarray) or args[1] != 3:
        raise WrongError(
            "func was called with the tuple of all arguments and a dict, not with what is in them",
            hint,
        )
    comparing.equal("what func was called with", args[0], given, hint)
    if kwargs != {"scale": 0.5}:
        raise WrongError(f"func was called with the keywords {kwargs}, should be {{'scale': 0.5}}", hint)


def _require_times(learner: Subject, *seconds: float) -> None:
    """Require the times of funcs that sleep so long: never less, and in one of three tries not much more."""
    told = [min(_timed(learner, Probe("sleeping", (each,)), 0)[1] for _ in range(3)) for each in seconds]
    asked = " and ".join(
        f"{time:.6g} for one of {each * 1e6:,.0f}" for each, time in zip(seconds, told, strict=True)
    )
    asked = f"of funcs that take so many microseconds it tells {asked}"
    for factor, unit in _UNITS.items():
        if all(0.98 <= time / factor / each <= 1.5 for each, time in zip(seconds, told, strict=True)):
            raise WrongError(
                f"{asked}: those are {unit}", "perf_counter() tells seconds; a second is 1e6 us."
            )
    for each, time in zip(seconds, told, strict=True):
        if time < 0:
            raise WrongError(f"{asked}: a negative time", "The later reading minus the earlier one.")
        if 0.98 <= time * 1e6 / each <= 3:
            raise WrongError(
                f"{asked}: seconds divided by a million",
                "A second is 1e6 us: multiply the seconds by that.",
            )
        if time * 1e-6 < 0.98 * each:
            raise WrongError(
                f"{asked}: too little",
                "Is func called between the two readings? And does the clock run on while func sleeps, as "
                "perf_counter does and process_time does not?",
            )
        if time * 1e-6 > 3 * each + 0.02:
            raise WrongError(
                f"{asked}: too much",
                "A time is the difference of two readings, right before the call and right after it. What "
                "else happens between them?",
            )


@exercise(step=1, points=6)
def matmul_loops(learner: Subject, rng: np.random.Generator) -> None:
    """A product of matrices as three compiled loops."""
    by_hand.loops(learner, "matmul_loops")
    rows, inner, columns = (int(n) for n in rng.integers(20, 40, 3))
    A, B = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns + 40))
    products.values(learner, "matmul_loops", A, B, "")
    products.values(learner, "matmul_loops", A.astype(np.float32), B.astype(np.float32), "")
    products.values(learner, "matmul_loops", np.asfortranarray(A), B, ", the first a transposed view")
    products.values(learner, "matmul_loops", A[:, :0].copy(), B[:0], ", whose inner dimension is empty")
    products.mismatch(learner, "matmul_loops", A[:, :-3].copy(), B, "inner dimensions that differ")
    products.mismatch(learner, "matmul_loops", A, B[:-2].copy(), "inner dimensions that differ")
    products.compiled(learner, "matmul_loops", rng)
