"""Landlock: files, TCP and signals, kept to what is named by the kernel itself (Linux 5.13; signals 6.12).

https://docs.kernel.org/userspace-api/landlock.html
"""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from tinytorch.course.running.confinement import system

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every processor
_ASK_VERSION, _BENEATH = 1, 1
EXECUTE, WRITE, READ, LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_SOCKET, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
#: All rights that a version of Landlock knows: later ones add moving files, truncating them, devices.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_FILE_RIGHTS = EXECUTE | WRITE | READ | _TRUNCATE | _IOCTL
_TCP, _SIGNALS_AND_SOCKETS = 0b11, 0b11


def version() -> int:
    """Return the kernel's version of Landlock, 0 if it has none."""
    if not system.LINUX:
        return 0
    try:
        return system.call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    except OSError:
        return 0


def restrict(readable: Iterable[Path], listed: Iterable[Path], own: Path) -> None:
    """Let this thread, and those that it starts, read and list some places and write only to `own`, for good.

    In `listed` names may be read and nothing else.
    """
    number = version()
    rights = _RIGHTS[min(number, 5)]
    attributes = struct.pack(
        "QQQ", rights, _TCP if number >= 4 else 0, _SIGNALS_AND_SOCKETS if number >= 6 else 0
    )
    size = 24 if number >= 6 else 16 if number >= 4 else 8
    ruleset = system.call(
        _CREATE, ctypes.create_string_buffer(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    try:
        for path in readable:
            _allow(ruleset, path, EXECUTE | READ | LIST)
        for path in listed:
            _allow(ruleset, path, LIST)
        _allow(ruleset, Path(os.devnull), READ | WRITE)
        _allow(ruleset, own, rights & ~(_MAKE_CHAR | _MAKE_SOCKET | _MAKE_BLOCK | _IOCTL))
        # Held open: a folder of /proc that nobody uses is forgotten, and with it what is allowed there.
        with contextlib.suppress(OSError):
            os.open("/proc/self", os.O_PATH | os.O_CLOEXEC)
        system.prctl(system.SET_NO_NEW_PRIVS, 1)
        system.call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    place = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & _FILE_RIGHTS, place)
        system.call(
            _ADD,
            ctypes.c_int(ruleset),
            ctypes.c_int(_BENEATH),
            ctypes.create_string_buffer(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(place)
