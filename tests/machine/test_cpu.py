"""The processor's name and the places of its cores, on machines made up for the test."""

import pytest

from tests.machine import trees
from tests.machine.trees import lay
from tinytorch.machine import cpu
from tinytorch.machine.cpu import Topology

UNKNOWN = Topology(None, None, None, None)


@pytest.mark.parametrize(
    ("files", "allowed", "layout"),
    [
        (trees.server(), range(8), Topology(2, 4, 4, 2)),
        (trees.server(), (0, 4), Topology(2, 4, 1, 2)),  # two threads of one core
        (trees.server(), (0, 1), Topology(2, 4, 2, 2)),
        (trees.hybrid(), range(8), Topology(1, 6, 6, 2)),
        (trees.hybrid(), (4, 5), Topology(1, 6, 2, 2)),
        (trees.arm(), range(4), Topology(1, 4, 4, 1)),
        ({"sys/devices/system/cpu/online": "0", **trees.topology(0, "0")}, (0,), Topology(1, 1, 1, 1)),
        ({}, (0,), UNKNOWN),
        ({"sys/devices/system/cpu/online": "0-1", **trees.topology(0, "0")}, (0,), UNKNOWN),
        (trees.topology(0, "0", package="-1"), (0,), Topology(None, 1, 1, 1)),
        (trees.topology(0, "rubbish"), (0,), Topology(1, None, None, None)),
    ],
)
def test_topology(tmp_path, allow, files, allowed, layout):
    allow(*allowed)
    assert cpu.topology(lay(tmp_path, files)) == layout


def test_a_container_that_counts_its_cpus_from_zero(tmp_path, allow):
    """What the system lists is then none of what the process runs on."""
    allow(6, 7)
    files = trees.server() | {"sys/devices/system/cpu/online": "0-1"}
    assert cpu.topology(lay(tmp_path, files)).usable_cores == 2


def test_model(tmp_path):
    assert cpu.cpu_model(lay(tmp_path / "server", trees.server())) == "Intel(R) Xeon(R) 8592+"
    assert cpu.cpu_model(lay(tmp_path / "arm", trees.arm())) is None
    assert cpu.cpu_model(tmp_path / "absent") is None


def test_what_llvm_says(monkeypatch):
    from llvmlite import binding

    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: {"avx2": True, "fma": False, "neon": True})
    assert cpu.instruction_sets() == ("avx2", "neon")
    for name, told in (("neoverse-v2", "neoverse-v2"), ("generic", None), ("", None)):
        monkeypatch.setattr(binding, "get_host_cpu_name", lambda name=name: name)
        assert cpu.llvm_name() == told


def test_macos(macos):
    assert cpu.topology() == UNKNOWN
    assert cpu.cpu_model() is None
    macos |= {
        "hw.physicalcpu": 8,
        "hw.logicalcpu": 16,
        "hw.packages": 1,
        "machdep.cpu.brand_string": "Apple M9",
    }
    assert cpu.topology() == Topology(1, 8, 8, 2)
    assert cpu.cpu_model() == "Apple M9"


def test_windows(on_windows):
    registry = on_windows(trees.windows_laptop(), 2, 3)
    assert cpu.topology() == Topology(1, 2, 1, 2)
    assert cpu.cpu_model() is None
    registry["ProcessorNameString"] = "a laptop's"
    assert cpu.cpu_model() == "a laptop's"
    on_windows(b"", 0)
    assert cpu.topology() == UNKNOWN
