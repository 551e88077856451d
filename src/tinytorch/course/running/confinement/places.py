"""What a confined process may read: Python, its libraries, the system's, and its own folder."""

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import tinytorch

_PACKAGE = Path(tinytorch.__file__).parent
#: Of the system. /etc holds secrets, so that of it only what the C library reads is named.
_SYSTEM = {
    "linux": (
        *("/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/sys"),
        # Of /proc what is its own: command lines of others tell their files, and the seed of a run.
        *("/proc/self", "/proc/sys", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version"),
        *("/proc/filesystems", "/proc/loadavg", "/proc/uptime"),
        *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
        *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/passwd"),
    ),
    "darwin": (
        "/usr",
        "/System",
        "/Library",
        "/opt",
        "/dev",
        "/private/etc/localtime",
        "/private/var/db/timezone",
    ),
    "win32": tuple(os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ),
}
#: Environment variables that name folders with libraries.
_NAMED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH")


def python() -> list[Path]:
    """Return where Python, its libraries and this package are."""
    found = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    # Next to a program of a virtual environment may lie anything: a prefix is not taken whole.
    for prefix in {Path(sys.prefix), Path(sys.base_prefix)}:
        found += (prefix / name for name in ("lib", "lib64", "Lib", "DLLs", "bin", "Scripts", "pyvenv.cfg"))
    found += (Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages"))
    return _existing([*found, _PACKAGE])


def readable(cache: Path) -> list[Path]:
    """Return what may be read, with all that is in it; `cache` is the folder of compiled kernels."""
    named = [Path(part) for name in _NAMED for part in os.environ.get(name, "").split(os.pathsep) if part]
    system = [Path(place) for place in _SYSTEM.get(sys.platform, ("/usr", "/lib"))]
    return _existing([*python(), *named, *system, cache])


def hidden() -> list[Path]:
    """Return what may not be read although it lies in what may: the course's solutions, and its checks."""
    return _existing([_PACKAGE / "course" / name for name in ("modules", "checks")])


def without(places: Iterable[Path], hidden: Iterable[Path]) -> Iterator[Path]:
    """Yield places, or what is in them, so that nothing hidden is in any."""
    hidden = list(hidden)
    for place in places:
        if place in hidden:
            continue
        if any(place in one.parents for one in hidden):
            yield from without(sorted(place.iterdir()), hidden)
        else:
            yield place


def _existing(places: Iterable[Path]) -> list[Path]:
    """Return those that exist, by the names that they really have."""
    return sorted({Path(os.path.realpath(place)) for place in places if place.exists()})
