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
    limits = []
    for folder in _cgroup_folders("memory", root, membership):
        text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes") or ""
        # v1 writes "no limit" as the largest page-aligned int64.
        if text.isdigit() and int(text) < 1 << 60:
            limits.append(int(text))
    return min(limits, default=None)


def available_memory() -> int:
    """Return the bytes that can be allocated now without swapping or being killed."""
    import psutil

    available = int(psutil.virtual_memory().available)
    limit = memory_limit()
    if limit is not None:
        available = min(available, max(0, limit - int(psutil.Process().memory_info().rss)))
    return available


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
