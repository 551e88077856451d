"""Python's audit hook: what is refused, refused in words, on every system.

Who wants to gets around it (through ctypes, for one): where it stands alone, as on macOS and Windows, it
keeps mistakes from doing harm, and no more.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_PROCESSES = frozenset(
    (
        *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system"),
        *("pty.spawn", "subprocess.Popen", "_winapi.CreateProcess"),
    )
)
_SOCKETS = frozenset(("socket.__new__", "socket.connect", "socket.bind"))
#: Those whose first argument is a path that they change; of two, so is the second.
_CHANGES = frozenset(
    (
        *("os.chmod", "os.chown", "os.mkdir", "os.remove", "os.removexattr", "os.rmdir", "os.setxattr"),
        *("os.truncate", "os.utime", "os.link", "os.rename", "os.symlink"),
    )
)
_TWO = frozenset(("os.link", "os.rename"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC


def listen(readable: Iterable[Path], hidden: Iterable[Path], own: Path) -> None:
    """Refuse, from now on, what goes beyond the own folder and what may be read."""
    sys.addaudithook(hook(tuple(map(str, readable)), tuple(map(str, hidden)), os.path.realpath(own)))


def hook(
    readable: tuple[str, ...], hidden: tuple[str, ...], own: str
) -> Callable[[str, tuple[Any, ...]], None]:
    """Return what refuses; all that it needs is its own, so that nothing to be found elsewhere changes it."""
    real, decode, join, null, pid = os.path.realpath, os.fsdecode, os.path.join, os.devnull, os.getpid()
    writing, changes, two, processes, sockets = _WRITING, _CHANGES, _TWO, _PROCESSES, _SOCKETS

    def within(path: Any, places: Iterable[str]) -> bool:
        found = real(decode(path))
        return any(found == place or found.startswith(join(place, "")) for place in places)

    def refuse(what: str) -> None:
        raise PermissionError(errno.EPERM, f"a submission may not {what}")

    def listening(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(path, int):
                return  # it is open
            if isinstance(flags, int) and flags & writing:
                if not within(path, (own, null)):
                    refuse("write outside its folder")
            elif not within(path, (own, *readable)) or within(path, hidden):
                refuse("read files of others")
        elif event in processes:
            refuse("start processes")
        elif event in sockets:
            refuse("use the network")
        elif event == "os.killpg" or (event == "os.kill" and args[0] != pid):
            refuse("send signals to other processes")
        elif event in changes:
            paths = args[: 2 if event in two else 1]
            if not all(isinstance(path, int) or within(path, (own,)) for path in paths):
                refuse("change files outside its folder")

    return listening
