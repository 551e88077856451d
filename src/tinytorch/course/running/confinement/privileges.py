"""What root may do is given up: capabilities always, the user where another one can read Python."""

import contextlib
import ctypes
import os
import secrets
import struct
import sys
from pathlib import Path

from tinytorch.course.running.confinement import places, system

_CAPSET = {"x86_64": 126, "aarch64": 91}
_VERSION = 0x20080522
#: Users from here on belong to nobody: above those that containers are given.
_NOBODIES = 0x7000_0000


def in_force() -> bool:
    """Say whether this system has them."""
    return system.LINUX and bool(system.MACHINE)


def drop(folder: Path) -> None:
    """Give up what this process may beyond any user's process, for good; `folder` stays its own."""
    reached = all(one.stat().st_mode & 0o1 for one in folder.parents)
    if os.geteuid() == 0 and reached and _others_can_read(Path(sys.executable), *places.python()):
        with contextlib.suppress(OSError):  # in a container that has no other users
            _become(_NOBODIES + secrets.randbelow(1 << 20), folder)
    header = ctypes.create_string_buffer(struct.pack("Ii", _VERSION, 0))
    system.call(_CAPSET[system.MACHINE], header, ctypes.create_string_buffer(24))
    system.prctl(system.SET_NO_NEW_PRIVS, 1)


def _become(user: int, folder: Path) -> None:
    os.setgroups([])
    for path in (folder, *folder.iterdir()):
        os.chown(path, user, user)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    system.prctl(system.SET_DUMPABLE, 1)  # /proc/self is its own again


def _others_can_read(*needed: Path) -> bool:
    """Say whether a user who owns nothing can read these."""
    for path in needed:
        for one in (path, *path.parents):
            wanted = 0o1 if one != path else 0o5 if one.is_dir() else 0o4
            if one.stat().st_mode & wanted != wanted:
                return False
    return True
