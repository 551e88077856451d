"""Reading what the kernel writes under /proc and /sys, without ever failing.

What is absent, not allowed or not understood is None or empty. Everything takes the root of the tree, so that
a test can lay one of its own.
"""

import re
from pathlib import Path

ROOT = Path("/")
#: Where Linux tells of processors, below a root.
CPUS = Path("sys/devices/system/cpu")

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def read(path: Path) -> str | None:
    """Return a file's text without the white space around it, or None."""
    try:
        return path.read_text(errors="replace").strip()
    except (OSError, ValueError):
        return None


def exists(path: Path) -> bool:
    """Say whether something is there, as far as this user may see."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def names(folder: Path) -> list[str]:
    """Return the sorted names in a folder; none if it cannot be listed."""
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (OSError, ValueError):
        return []


def number(text: str | None) -> int | None:
    """Read a number of up to 19 digits, without a sign.

    >>> number("64"), number("max"), number(None)
    (64, None, None)
    """
    return int(text) if text and re.fullmatch("[0-9]{1,19}", text) else None


def size(text: str | None) -> int | None:
    """Read a number of bytes as the kernel writes it.

    >>> size("48K"), size("2M"), size("some")
    (49152, 2097152, None)
    """
    match = re.fullmatch("([0-9]{1,12})([KMG]?)", text or "")
    return int(match[1]) * _UNITS[match[2]] if match else None


def cpu_list(text: str | None) -> tuple[int, ...]:
    """Read a list of CPUs as the kernel writes it; empty for none, and for what is no such list.

    >>> cpu_list("0-2,8")
    (0, 1, 2, 8)
    """
    cpus: set[int] = set()
    for part in (text or "").split(","):
        match = re.fullmatch("([0-9]{1,6})(?:-([0-9]{1,6}))?", part)
        if not match:
            return ()
        cpus.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(cpus))


def cpuinfo(root: Path = ROOT) -> dict[str, str]:
    """Return what /proc/cpuinfo says of its first processor; with hundreds of them all would take long."""
    found: dict[str, str] = {}
    try:
        with (root / "proc/cpuinfo").open(errors="replace") as file:
            for line in file:
                key, colon, value = line.partition(":")
                if not colon:
                    break
                found[key.strip()] = value.strip()
    except (OSError, ValueError):  # what was read until then still holds
        return found
    return found
