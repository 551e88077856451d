"""The C library, called with errors as Python has them."""

import ctypes
import os
import platform
import sys
from typing import Any

LINUX = sys.platform == "linux"
#: The processor whose system calls a table here has, or "".
MACHINE = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(platform.machine(), "")
SET_DUMPABLE, SET_NO_NEW_PRIVS = 4, 38


def call(number: int, *args: Any) -> int:
    """Make a system call; raises OSError."""
    found = _library().syscall(ctypes.c_long(number), *args)
    return _checked(found)


def prctl(option: int, value: int) -> int:
    """Call prctl; raises OSError."""
    return _checked(_library().prctl(ctypes.c_int(option), *map(ctypes.c_ulong, (value, 0, 0, 0))))


def _library() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def _checked(found: int) -> int:
    if found == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return found
