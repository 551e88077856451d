"""How many threads a kernel may use: one number for the process, as in PyTorch."""

import os

from tinytorch.machine.quota import usable_cpus
from tinytorch.runtime.arguments import integer

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
        if not text:
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
    _chosen = integer("n", n, 1)


def threads_for(work: int, least: int, tiles: int, asked: int | None = None) -> int:
    """Return how many threads a kernel takes: `asked`, by default all; one where `work` is below `least`."""
    if work < least:
        return 1
    return max(1, min(get_num_threads() if asked is None else asked, tiles, MAX_THREADS))
