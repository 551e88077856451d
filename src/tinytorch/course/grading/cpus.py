"""CPUs of its own for each grader: a submission that keeps all of its CPUs busy leaves others theirs."""

import contextlib
from collections.abc import Sequence

import psutil

#: A student's threads need a second one to run on.
_LEAST = 2


def shared_out(cpus: Sequence[int], graders: int) -> list[tuple[int, ...]]:
    """Return the CPUs of each grader, none of them another's; nothing where they would have fewer than two.

    >>> shared_out(range(5), 2), shared_out(range(2), 2)
    ([(0, 2, 4), (1, 3)], [])
    """
    if graders < 2 or len(cpus) // graders < _LEAST:
        return []
    return [tuple(cpus[first::graders]) for first in range(graders)]


def hold(pid: int, cpus: Sequence[int]) -> None:
    """Let a process, and what it starts from now on, run on these CPUs alone, unless it has ended.

    Where the system does not allow it, or has taken a CPU away meanwhile, the process runs on as before: that
    may cost time, and grading does not end for it.
    """
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        psutil.Process(pid).cpu_affinity(list(cpus))
