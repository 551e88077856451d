"""How many threads a kernel may use: one number for the process, as in PyTorch."""

import operator
import os
from typing import Any

from tinytorch.machine.quota import usable_cpus

#: The pool's words have room for so many; kernels take no more, whatever number is set.
MAX_THREADS = 256
_chosen: int | None = None


def get_num_threads() -> int:
    """Return the number of threads that kernels may use.

    It is what `set_num_threads` was given; before that TINYTORCH_NUM_THREADS; without that the CPUs that
    this process may use: its affinity mask, capped by its cgroup quota.

    Raises ValueError if TINYTORCH_NUM_THREADS is not a whole number of at least 1.

    >>> get_num_threads() >= 1
    True
    """
    global _chosen  # noqa: PLW0603
    if _chosen is None:
        text = os.environ.get("TINYTORCH_NUM_THREADS")
        if text is None:
            _chosen = usable_cpus()
        elif text.strip().isdecimal() and int(text) >= 1:
            _chosen = int(text)
        else:
            raise ValueError(f"TINYTORCH_NUM_THREADS must be a whole number of at least 1, not {text!r}")
    return _chosen


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels may use from now on.

    Raises TypeError if `n` is not an integer and ValueError if it is below 1.

    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    """
    global _chosen  # noqa: PLW0603
    _chosen = positive_integer("n", n)


def threads_for(work: int, least: int, tiles: int, asked: int | None = None) -> int:
    """Return how many threads a kernel takes: `asked`, by default all; one where `work` is below `least`."""
    if work < least:
        return 1
    return max(1, min(get_num_threads() if asked is None else asked, tiles, MAX_THREADS))


def positive_integer(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1; otherwise one error that names it."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__} {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {number}")
    return number
