"""What keeps a submission's process to itself: layers, as many as the system has.

All but the last are kept by the kernel of the system, whatever the process does. The process confines itself
before it imports what starts threads, and before it sees any of the submission's code. From outside it is
watched besides: see `tinytorch.course.running.process`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMITS, PRIVILEGES, FILES, CALLS, AUDIT = "limits", "privileges", "files", "system calls", "audit"


@dataclass(frozen=True)
class Layer:
    """One of them."""

    name: str
    does: str
    in_force: bool  # on this system


def describe() -> tuple[Layer, ...]:
    """Return the layers, and which of them this system has.

    >>> [layer.name for layer in describe()]
    ['limits', 'privileges', 'files', 'system calls', 'audit']
    """
    from tinytorch.course.running.confinement import landlock, limits, privileges, seccomp

    return (
        Layer(LIMITS, "address space, size of files, open files, CPU time, no core dumps", limits.in_force()),
        Layer(
            PRIVILEGES,
            "nothing that root may do beyond others, and no way to regain it",
            privileges.in_force(),
        ),
        Layer(
            FILES,
            "Landlock: reads Python and its libraries only, writes in its own folder only; no TCP and, from "
            "Linux 6.12 on, no signals to others",
            landlock.version() > 0,
        ),
        Layer(
            CALLS,
            "seccomp: no new processes, programs, sockets; no changes of files' modes and of other processes",
            seccomp.in_force(),
        ),
        Layer(AUDIT, "Python's audit hook refuses the same in words; it can be got around", True),
    )


def confine(plan: dict[str, Any]) -> list[str]:
    """Confine this process for good, and return the names of the layers that are in force.

    `plan` holds "folder", which it may write to, "cache" that it may read, "memory" and "file" in bytes, and
    "seconds" of a CPU. Raises OSError if a layer that the system has cannot be had.
    """
    from tinytorch.course.running.confinement import audit, landlock, limits, places, privileges, seccomp

    names = [layer.name for layer in describe() if layer.in_force]
    folder = Path(plan["folder"])
    readable, hidden = places.readable(Path(plan["cache"])), places.hidden()
    if LIMITS in names:
        limits.limit(plan["memory"], plan["file"], plan["seconds"], processes=CALLS not in names)
    if PRIVILEGES in names:
        privileges.drop(folder)
    if FILES in names:
        listed = [place for place in readable if any(place in one.parents for one in hidden)]
        landlock.restrict(places.without(readable, hidden), listed, folder)
    if CALLS in names:
        seccomp.refuse()
    audit.listen(readable, hidden, folder)
    return names
