"""Checks of plain arguments, with one clear error each."""

import operator
from typing import Any

Pair = tuple[int, int]


def integer(name: str, value: Any, least: int) -> int:
    """Return `value` as an int of at least `least`; TypeError or ValueError that names it otherwise."""
    number = _index(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__} {value!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def pair(name: str, value: Any, least: int) -> Pair:
    """Return an integer or a pair of them as (vertical, horizontal), each at least `least`."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    numbers = [_index(v) for v in values]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        raise TypeError(f"{name} must be an integer or a pair of them, not {value!r}")
    if min(numbers[0], numbers[1]) < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    if max(numbers[0], numbers[1]) >= 1 << 31:
        raise ValueError(f"{name} must be below 2**31, not {value}")
    return numbers[0], numbers[1]


def _index(value: Any) -> int | None:
    """Return an integer as an int, None for anything else; True is no number of threads."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
