"""Caches of the CPU that this process may use, on machines made up for the test."""

import subprocess
import sys

import pytest

from tests.machine import trees
from tests.machine.trees import lay
from tinytorch.machine.caches import Cache, cache_details, caches

NOTHING = {"l1": None, "l2": None, "l3": None}
K, M = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("files", "allowed", "sizes"),
    [
        (trees.server(), (0,), {"l1": 48 * K, "l2": 2 * M, "l3": 300 * M}),
        (trees.hybrid(), (0, 4), {"l1": 48 * K, "l2": 1280 * K, "l3": 12 * M}),
        (trees.hybrid(), (4, 5), {"l1": 32 * K, "l2": 2 * M, "l3": 12 * M}),
        (trees.arm(), range(4), {"l1": 64 * K, "l2": M, "l3": None}),
        ({}, (0,), NOTHING),
        (trees.cache(0, 0, "1", "Instruction", "32K", "0"), (0,), NOTHING),
        (trees.cache(0, 0, "one", "Data", "32K", "0"), (0,), NOTHING),
        (trees.cache(0, 0, "1", "Data", "", "0"), (0,), NOTHING),
        (trees.cache(3, 0, "1", "Data", "32K", "3"), (2, 3), NOTHING | {"l1": 32 * K}),  # 2 tells nothing
        (trees.cache(0, 9, "4", "Unified", "128M", "0"), (0,), NOTHING),
    ],
)
def test_sizes(tmp_path, allow, files, allowed, sizes):
    allow(*allowed)
    assert caches(lay(tmp_path, files)) == sizes


def test_details(tmp_path, allow):
    allow(5)
    assert cache_details(lay(tmp_path, trees.server())) == (
        Cache(1, "data", 48 * K, 64, 12, 2),
        Cache(1, "instruction", 32 * K, 64, 8, 2),
        Cache(2, "unified", 2 * M, 64, 16, 2),
        Cache(3, "unified", 300 * M, 64, 20, 4),
    )


def test_half_told(tmp_path, allow):
    allow(0)
    files = trees.cache(0, 0, "1", "Data", "32K", "some", ways="0", line="")
    assert cache_details(lay(tmp_path, files)) == (Cache(1, "data", 32 * K, None, None, None),)


def test_macos(macos):
    assert cache_details() == ()
    macos |= {"hw.l1dcachesize": 64 * K, "hw.l1icachesize": 128 * K, "hw.l2cachesize": 4 * M}
    assert caches() == {"l1": 64 * K, "l2": 4 * M, "l3": None}
    macos |= {"hw.perflevel0.l1dcachesize": 128 * K, "hw.perflevel0.l2cachesize": 16 * M}
    macos |= {"hw.perflevel0.cpusperl2": 4, "hw.cachelinesize": 128}
    assert cache_details() == (
        Cache(1, "data", 128 * K, 128, None, None),
        Cache(1, "instruction", 128 * K, 128, None, None),
        Cache(2, "unified", 16 * M, 128, None, 4),
    )


def test_windows(on_windows):
    on_windows(trees.windows_laptop(), 2, 3)
    assert cache_details() == (
        Cache(1, "data", 48 * K, 64, 12, 2),
        Cache(1, "instruction", 32 * K, 64, 8, 2),
        Cache(2, "unified", 1280 * K, 64, 10, 2),
        Cache(3, "unified", 12 * M, 64, None, 4),
    )
    on_windows(b"", 0)
    assert caches() == NOTHING


def test_nothing_heavy_is_imported():
    """Planning asks for caches: that must not cost an import of NumPy."""
    code = "import sys; from tinytorch.machine.info import caches; caches(); print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "psutil", "llvmlite", "threadpoolctl", "pynvml"} & set(told.split())
