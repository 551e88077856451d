"""The operating system's lock, condition variable and scheduler calls, as addresses for compiled code.

Compiled workers sleep and wake without Python and so without its global lock. POSIX threads and Windows
both have a mutex and a condition variable that fit in 64 bytes each.
"""

import ctypes
import os
from typing import Any, NamedTuple


class System(NamedTuple):
    """Addresses of C functions; `wait(condition, lock, -1, 0)` suits both systems: POSIX looks at two."""

    lock: int
    unlock: int
    wait: int
    signal: int
    yield_cpu: int


def find() -> System:
    """Look the functions up in the libraries that every process has loaded."""
    if os.name == "nt":
        library: Any = ctypes.CDLL("kernel32")
        names = (
            *("AcquireSRWLockExclusive", "ReleaseSRWLockExclusive"),
            *("SleepConditionVariableSRW", "WakeConditionVariable", "SwitchToThread"),
        )
    else:
        library = ctypes.CDLL(None)
        names = (
            *("pthread_mutex_lock", "pthread_mutex_unlock"),
            *("pthread_cond_wait", "pthread_cond_signal", "sched_yield"),
        )
    return System(*(ctypes.cast(library[name], ctypes.c_void_p).value or 0 for name in names))


def initialize(lock: int, condition: int) -> None:
    """Make a lock and a condition variable in zeroed memory at these addresses."""
    if os.name != "nt":  # Windows: all zeros is their initial state
        library = ctypes.CDLL(None)
        library.pthread_mutex_init(ctypes.c_void_p(lock), None)
        library.pthread_cond_init(ctypes.c_void_p(condition), None)


def find_current_cpu() -> Any:
    """Return the C function that tells the CPU of the calling thread, or None where there is none."""
    if hasattr(os, "sched_setaffinity"):
        return getattr(ctypes.CDLL(None), "sched_getcpu", None)
    return None
