"""The system's own limits on a process: POSIX has them, Linux keeps all of them."""

import contextlib
import importlib
import os
from typing import Any

from tinytorch.course.running.confinement import system

#: Files that may be open: Python and numba have some ten.
_FILES = 256
#: Address space: compilers reserve more than they use, and threads do (a stack, 64 MB of the allocator).
_RESERVED, _EACH_CPU = 4, 256 << 20
#: Processes of this user beyond those that there are, where starting them cannot be forbidden; where it is,
#: threads, of which the system has some ten thousand for all.
_MORE, _MORE_THREADS = 16, 4096


def in_force() -> bool:
    """Say whether this system has them."""
    return os.name == "posix"


def limit(memory: int, file: int, seconds: float, processes: bool) -> None:
    """Limit memory, the size of files, open files, core dumps, threads, and with `processes` those.

    In `seconds` a process cannot come to the limit of CPU time: it is for one that nobody watches any more.
    """
    cpus = os.cpu_count() or 1
    resource: Any = importlib.import_module("resource")  # not on Windows
    wanted = {
        resource.RLIMIT_AS: _RESERVED * memory + _EACH_CPU * cpus,
        resource.RLIMIT_FSIZE: file,
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(cpus * seconds),
    }
    if processes or system.LINUX:
        wanted[resource.RLIMIT_NPROC] = _processes() + (_MORE if processes else _MORE_THREADS)
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS takes no limit of the address space
            resource.setrlimit(kind, (most, most))


def _processes() -> int:
    """Count what the limit counts: on Linux the threads of this user, elsewhere the processes."""
    import psutil

    count = 0
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.uids().real == os.getuid():
                count += one.num_threads() if os.name == "posix" and os.uname().sysname == "Linux" else 1
    return count
