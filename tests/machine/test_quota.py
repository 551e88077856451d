"""What this process may use, read from cgroup trees made up for the test."""

import os
import platform
from types import SimpleNamespace

import psutil
import pytest

from tests.machine.trees import lay
from tinytorch.machine import quota


def tree(root, membership, files):
    return lay(root, {"proc/self/cgroup": membership, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}})


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        ("0::/", {}, None),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2.0),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        ("0::/of/the/host", {"cpu.max": "250000 100000"}, 2.5),
        ("4:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("4:cpu:/x", {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"}, 4.0),
        ("0::/", {"cpu.max": "rubbish"}, None),
        ("0::/", {"cpu.max": "² 3"}, None),
        ("0::/", {"cpu.max": "100000 0"}, None),
        ("rubbish\n\n0::/", {"cpu.max": "150000 100000"}, 1.5),
    ],
)
def test_cpu_quota(tmp_path, membership, files, cpus):
    assert quota.cpu_quota(tree(tmp_path, membership, files)) == cpus


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/", {"memory.max": "max"}, None),
        ("0::/a", {"memory.max": "1000", "a/memory.max": "2000"}, 1000),
        ("5:memory:/x", {"memory/x/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("5:memory:/x", {"memory/x/memory.limit_in_bytes": "4096"}, 4096),
    ],
)
def test_memory_limit(tmp_path, membership, files, limit):
    assert quota.memory_limit(tree(tmp_path, membership, files)) == limit


@pytest.mark.parametrize(("limit", "cpus"), [(None, 6), (2.9, 2), (0.3, 1), (64.0, 6)])
def test_usable_cpus(monkeypatch, limit, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(quota, "cpu_quota", lambda _: limit)
    assert quota.usable_cpus() == cpus


def test_without_an_affinity_mask(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    monkeypatch.setattr(quota, "cpu_quota", lambda _: None)
    assert quota.affinity() is None
    assert quota.usable_cpus() == 10


def test_affinity_on_windows(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(cpu_affinity=lambda: [5, 2]))
    assert quota.affinity() == (2, 5)


def test_affinity_of_this_process():
    mask = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mask)})
        assert quota.usable_cpus() == 1
        assert quota.affinity() == (min(mask),)
    finally:
        os.sched_setaffinity(0, mask)


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({"memory.max": "max", "memory.current": "500"}, None),
        ({"memory.max": "2000", "memory.current": "500"}, 1500),
        ({"memory.max": "2000", "memory.current": "2500"}, 0),
        (
            {"memory.max": "9000", "memory.current": "500", "a/memory.max": "700", "a/memory.current": "100"},
            600,
        ),
    ],
)
def test_available_memory(tmp_path, files, available):
    found = quota.available_memory(tree(tmp_path, "0::/a", {"a/cgroup.procs": "", **files}))
    assert found == available if available is not None else found > 1 << 20
