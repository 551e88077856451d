"""Memory and its nodes, on machines made up for the test."""

import pytest

from tests.machine import trees
from tests.machine.trees import lay
from tinytorch.machine.memory import NumaNode, memory_bytes, numa_nodes


def test_two_nodes(tmp_path):
    root = lay(tmp_path, trees.server())
    assert memory_bytes(root) == 32_000_000 << 10
    assert numa_nodes(root) == (
        NumaNode(0, (0, 1, 4, 5), 16_000_000 << 10),
        NumaNode(1, (2, 3, 6, 7), 16_000_000 << 10),
    )


def test_nodes_of_half_a_kind(tmp_path):
    """Memory without CPUs, CPUs that say nothing of memory, and numbers with gaps."""
    node = "sys/devices/system/node"
    files = {
        f"{node}/online": "0,2",
        f"{node}/node0/cpulist": "0",
        f"{node}/node2/cpulist": "",
        f"{node}/node2/meminfo": "Node 2 MemTotal: 4 kB",
    }
    assert numa_nodes(lay(tmp_path, files)) == (NumaNode(0, (0,), None), NumaNode(2, (), 4096))


@pytest.mark.parametrize("text", ["", "MemTotal: much", "MemTotal:\t12 MB", "NotMemTotal: 12 kB"])
def test_malformed(tmp_path, text):
    root = lay(tmp_path, {"proc/meminfo": text, "sys/devices/system/node/online": "all"})
    assert memory_bytes(root) is None
    assert numa_nodes(root) is None


def test_macos(macos, tmp_path):
    assert memory_bytes(tmp_path) is None
    assert numa_nodes(tmp_path) is None
    macos["hw.memsize"] = 16 << 30
    assert memory_bytes(tmp_path) == 16 << 30


def test_windows(on_windows):
    on_windows(trees.windows_laptop(), 0)
    assert memory_bytes() > 1 << 28  # psutil knows, here too
    assert numa_nodes() == (NumaNode(0, (0, 1, 2, 3), None),)
