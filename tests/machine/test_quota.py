"""What this process may use, read from cgroup trees made up for the test."""

import os

import pytest

from tinytorch.machine import quota


def tree(tmp_path, membership, files):
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    own = tmp_path / "self"
    own.write_text(membership + "\n")
    return root, own


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
    ],
)
def test_cpu_quota(tmp_path, membership, files, cpus):
    assert quota.cpu_quota(*tree(tmp_path, membership, files)) == cpus


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
    assert quota.memory_limit(*tree(tmp_path, membership, files)) == limit


@pytest.mark.parametrize(("limit", "cpus"), [(None, 6), (2.9, 2), (0.3, 1), (64.0, 6)])
def test_usable_cpus(monkeypatch, limit, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(quota, "cpu_quota", lambda: limit)
    assert quota.usable_cpus() == cpus


def test_affinity_of_this_process():
    mask = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mask)})
        assert quota.usable_cpus() == 1
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
    found = quota.available_memory(*tree(tmp_path, "0::/a", {"a/cgroup.procs": "", **files}))
    assert found == available if available is not None else found > 1 << 20
