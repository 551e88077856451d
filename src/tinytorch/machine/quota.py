"""How much of this computer the process may use: CPUs and bytes.

A container shows all the CPUs and all the memory of its host. What counts is the affinity mask and the
cgroup limits; both are read here, from the system's own files, and nowhere else.
"""

import os
import platform
from pathlib import Path

from tinytorch.machine.files import ROOT, number, read


def affinity() -> tuple[int, ...] | None:
    """Return the CPUs that this process may run on; None where the system has no such mask (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    if platform.system() == "Windows":
        import psutil

        return tuple(sorted(psutil.Process().cpu_affinity()))
    return None


def usable_cpus(root: Path = ROOT) -> int:
    """Count the CPUs that this process may keep busy: the affinity mask, capped by the cgroup quota.

    >>> usable_cpus() >= 1
    True
    """
    mask = affinity()
    cpus = len(mask) if mask else os.cpu_count() or 1
    quota = cpu_quota(root)
    if quota is None:
        return cpus
    # Rounded down: one thread more than the quota and the scheduler stops all of them for the rest of the
    # period (100 ms), which costs more than the fraction of a CPU that is left idle.
    return max(1, min(cpus, int(quota)))


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the cgroup CPU quota in CPUs (1.5 is one and a half), or None where there is none."""
    quotas = []
    for folder in _cgroup_folders("cpu", root):
        text = read(folder / "cpu.max")  # v2: "150000 100000" or "max 100000"
        if text is not None:
            limit, _, period = text.partition(" ")
        else:  # v1: two files, -1 for no limit
            limit = read(folder / "cpu.cfs_quota_us") or ""
            period = read(folder / "cpu.cfs_period_us") or ""
        used, of = number(limit), number(period)
        if used and of:
            quotas.append(used / of)
    return min(quotas, default=None)


def memory_limit(root: Path = ROOT) -> int | None:
    """Return the cgroup memory limit in bytes, or None where there is none."""
    limits = [_memory(folder, "max", "limit_in_bytes") for folder in _cgroup_folders("memory", root)]
    return min((limit for limit in limits if limit is not None), default=None)


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes that can be allocated now without swapping or being killed.

    >>> available_memory() > 0
    True
    """
    import psutil

    available = int(psutil.virtual_memory().available)
    for folder in _cgroup_folders("memory", root):
        limit, used = _memory(folder, "max", "limit_in_bytes"), _memory(folder, "current", "usage_in_bytes")
        if limit is not None and used is not None:
            available = min(available, max(0, limit - used))
    return available


def _memory(folder: Path, v2: str, v1: str) -> int | None:
    """Read one of a cgroup's numbers of bytes; None for no limit, which v1 writes as a huge one."""
    found = number(read(folder / f"memory.{v2}") or read(folder / f"memory.{v1}"))
    return found if found is not None and found < 1 << 60 else None


def _cgroup_folders(controller: str, root: Path) -> list[Path]:
    """List the cgroup folders that bind this process: its own and every ancestor's, v2 and v1."""
    folders: list[Path] = []
    for line in (read(root / "proc/self/cgroup") or "").splitlines():
        fields = line.split(":", 2)  # a hierarchy's number, its controllers (v2: none), the path
        if len(fields) < 3:
            continue
        controllers, path = fields[1:]
        base = root / "sys/fs/cgroup"
        if controller in controllers.split(","):
            base /= controller
        elif controllers:
            continue
        folder = base / path.lstrip("/")
        # Inside a container the path may be the host's, absent here; the mount's own top still binds.
        folders += [f for f in (folder, *folder.parents) if f.is_relative_to(base)]
    return folders
