"""How much of this computer the process may use: CPUs and bytes.

A container shows all the CPUs and all the memory of its host. What counts is the affinity mask and the
cgroup limits; both are read here, from the system's own files, and nowhere else.
"""

import os
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_CGROUP_SELF = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Count the CPUs that this process may keep busy: the affinity mask, capped by the cgroup quota.

    >>> usable_cpus() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    quota = cpu_quota()
    if quota is None:
        return cpus
    # Rounded down: one thread more than the quota and the scheduler stops all of them for the rest of the
    # period (100 ms), which costs more than the fraction of a CPU that is left idle.
    return max(1, min(cpus, int(quota)))


def cpu_quota(root: Path = _CGROUP_ROOT, membership: Path = _CGROUP_SELF) -> float | None:
    """Return the cgroup CPU quota in CPUs (1.5 is one and a half), or None where there is none."""
    quotas = []
    for folder in _cgroup_folders("cpu", root, membership):
        text = _read(folder / "cpu.max")  # v2: "150000 100000" or "max 100000"
        if text is not None:
            limit, _, period = text.partition(" ")
        else:  # v1: two files, -1 for no limit
            limit = _read(folder / "cpu.cfs_quota_us") or "max"
            period = _read(folder / "cpu.cfs_period_us") or ""
        if limit.isdigit() and period.isdigit() and int(limit) > 0 and int(period) > 0:
            quotas.append(int(limit) / int(period))
    return min(quotas, default=None)


def memory_limit(root: Path = _CGROUP_ROOT, membership: Path = _CGROUP_SELF) -> int | None:
    """Return the cgroup memory limit in bytes, or None where there is none."""
    folders = _cgroup_folders("memory", root, membership)
    limits = [_memory(folder, "max", "limit_in_bytes") for folder in folders]
    return min((limit for limit in limits if limit is not None), default=None)


def available_memory(root: Path = _CGROUP_ROOT, membership: Path = _CGROUP_SELF) -> int:
    """Return the bytes that can be allocated now without swapping or being killed.

    >>> available_memory() > 0
    True
    """
    import psutil

    available = int(psutil.virtual_memory().available)
    for folder in _cgroup_folders("memory", root, membership):
        limit, used = _memory(folder, "max", "limit_in_bytes"), _memory(folder, "current", "usage_in_bytes")
        if limit is not None and used is not None:
            available = min(available, max(0, limit - used))
    return available


def _memory(folder: Path, v2: str, v1: str) -> int | None:
    """Read one of a cgroup's numbers of bytes; None for no limit, which v1 writes as a huge one."""
    text = _read(folder / f"memory.{v2}") or _read(folder / f"memory.{v1}") or ""
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None


def _cgroup_folders(controller: str, root: Path, membership: Path) -> list[Path]:
    """List the cgroup folders that bind this process: its own and every ancestor's, v2 and v1."""
    folders = []
    for line in (_read(membership) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = root
        elif controller in controllers.split(","):
            base = root / controller
        else:
            continue
        folder = base / path.lstrip("/")
        # Inside a container the path may be the host's, absent here; the mount's own top still binds.
        folders += [f for f in (folder, *folder.parents) if f.is_relative_to(base) and f.is_dir()]
    return folders


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
