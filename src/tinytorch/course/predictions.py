"""What a learner predicts before a measurement, held against what is measured."""

import math
from numbers import Real
from typing import Any

from tinytorch.runtime.errors import InputError

#: How far off counts as about right: who is within a quarter knows what it depends on.
_NEAR = 1.25

_predicted: dict[str, tuple[float, str]] = {}


def predict(name: str, value: float | None, unit: str = "times") -> None:
    """Write down what a measurement is going to show; None says that there is no prediction yet.

    Raises InputError for what is no number.

    >>> predict("sectors", 4, "sectors a request")
    sectors: 4 sectors a request, you say
    """
    if value is None:
        _predicted.pop(name, None)
        print(f"{name}: write a number in place of None before you go on")
        return
    if not _is_number(value):
        raise InputError(f"{name}: a prediction is a number, as 8 or 0.5, not {value!r}")
    _predicted[name] = float(value), unit
    print(f"{name}: {value:g} {unit}, you say")


def reveal(name: str, value: float, unit: str = "times") -> None:
    """Print what was measured beside what was predicted.

    >>> predict("speedup", 8)
    speedup: 8 times, you say
    >>> reveal("speedup", 24.0)
    speedup: 24 times; you said 8 times, 1/3 of that
    """
    if name not in _predicted:
        print(f"{name}: {value:.3g} {unit}; no prediction was written down")
        return
    said, said_unit = _predicted[name]
    print(f"{name}: {value:.3g} {unit}; you said {said:g} {said_unit}, {_beside(said, value)}")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # of an integer that no float holds
        return False


def _beside(said: float, value: float) -> str:
    if said == value:
        return "exactly"
    if said <= 0 or value <= 0:
        return f"{said - value:+.3g} off"
    ratio = said / value
    if 1 / _NEAR <= ratio <= _NEAR:
        return "about right"
    return f"{ratio:.2g} times that" if ratio > 1 else f"1/{1 / ratio:.2g} of that"
