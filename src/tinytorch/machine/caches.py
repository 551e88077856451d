"""The caches of one CPU, the first that this process may use: their sizes and how many CPUs share each.

Kernels are planned by them: nothing heavy is imported here. Where cores differ, others may have other caches.
"""

import platform
import struct
from dataclasses import dataclass
from pathlib import Path

from tinytorch.machine import sysctl, windows
from tinytorch.machine.files import CPUS, ROOT, cpu_list, names, number, read, size
from tinytorch.machine.quota import affinity

INSTRUCTION = "instruction"
_WINDOWS_KINDS = ("unified", INSTRUCTION, "data")  # PROCESSOR_CACHE_TYPE
#: What the last cache is taken for where a system does not tell: larger than most.
UNKNOWN_CACHE = 64 << 20


@dataclass(frozen=True)
class Cache:
    """One cache; sizes in bytes, None for what is unknown."""

    level: int
    kind: str  # "data", "instruction" or "unified"
    bytes: int
    line_bytes: int | None
    ways: int | None
    shared_by: int | None  # CPUs of the machine, this one included


def cache_details(root: Path = ROOT) -> tuple[Cache, ...]:
    """Return the caches whose size the system tells, nearest first."""
    if platform.system() == "Darwin":
        found = _macos()
    elif platform.system() == "Windows":
        found = _windows(windows.information())
    else:
        found = _linux(root)
    return tuple(sorted(found, key=lambda cache: (cache.level, cache.kind)))


def sizes(details: tuple[Cache, ...]) -> dict[str, int | None]:
    """Return the bytes of l1, l2 and l3, instruction caches left out.

    >>> sizes((Cache(1, "data", 49152, 64, 12, 2), Cache(1, "instruction", 32768, 64, 8, 2)))
    {'l1': 49152, 'l2': None, 'l3': None}
    """
    found = {cache.level: cache.bytes for cache in details if cache.kind != INSTRUCTION}
    return {f"l{level}": found.get(level) for level in (1, 2, 3)}


def caches(root: Path = ROOT) -> dict[str, int | None]:
    """Return the bytes of the caches l1 (data), l2 and l3, None for what the system does not tell.

    >>> sorted(caches())
    ['l1', 'l2', 'l3']
    """
    return sizes(cache_details(root))


def _linux(root: Path) -> list[Cache]:
    for cpu in affinity() or (0,):
        folder = root / CPUS / f"cpu{cpu}/cache"
        found = [_index(folder / name) for name in names(folder) if name.startswith("index")]
        if any(found):
            return [cache for cache in found if cache]
    return []


def _index(folder: Path) -> Cache | None:
    level, kind, total = (read(folder / name) for name in ("level", "type", "size"))
    depth, capacity = number(level), size(total)
    if not depth or not kind or not capacity:
        return None
    return Cache(
        level=depth,
        kind=kind.lower(),
        bytes=capacity,
        line_bytes=number(read(folder / "coherency_line_size")) or None,
        ways=number(read(folder / "ways_of_associativity")) or None,
        shared_by=len(cpu_list(read(folder / "shared_cpu_list"))) or None,
    )


def _macos() -> list[Cache]:
    line = sysctl.number("hw.cachelinesize") or None
    found = []
    for level, kind, name in (
        (1, "data", "l1dcachesize"),
        (1, INSTRUCTION, "l1icachesize"),
        (2, "unified", "l2cachesize"),
        (3, "unified", "l3cachesize"),
    ):
        # Where cores differ, level 0 are the fast ones, and the plain names speak of the others.
        capacity = sysctl.number(f"hw.perflevel0.{name}") or sysctl.number(f"hw.{name}")
        shared = sysctl.number(f"hw.perflevel0.cpusperl{level}") if level > 1 else None
        if capacity:
            found.append(Cache(level, kind, capacity, line, None, shared or None))
    return found


def _windows(data: bytes) -> list[Cache]:
    first = min(affinity() or (0,))
    found = []
    for record, cpus in windows.records(data, windows.CACHE):
        if first in cpus and len(record) >= 20:
            level, ways, line, capacity, kind = struct.unpack_from("<BBHII", record, 8)
            if level and capacity and kind < len(_WINDOWS_KINDS):
                # 255 ways: any line may lie anywhere.
                many = ways if 0 < ways < 255 else None
                found.append(Cache(level, _WINDOWS_KINDS[kind], capacity, line or None, many, len(cpus)))
    return found
