"""What this computer says of itself, what made-up ones do, and what limits are kept under."""

import json
from dataclasses import replace

import pytest

from tests.machine import trees
from tests.machine.trees import lay
from tinytorch.machine import info
from tinytorch.machine.info import Gpu, describe, fingerprint


@pytest.fixture(scope="module")
def machine():
    return describe()


def test_this_machine(machine):
    assert 1 <= machine.usable_cpus <= machine.cpus
    assert machine.memory > 1 << 28
    assert set(machine.caches) == {"l1", "l2", "l3"}
    assert machine.caches == info.caches()
    assert machine.versions["numpy"]
    assert machine.blas
    assert machine.cores is None or machine.usable_cores <= machine.cores <= machine.cpus


def test_plain_values(machine):
    whole = replace(machine, gpus=(Gpu("one", "9.0", 1, 2, 3, "4"),)).as_dict()
    assert json.loads(json.dumps(whole)) == whole
    assert whole["gpus"][0]["compute_capability"] == "9.0"
    assert list(whole) == list(machine.__dataclass_fields__)


def test_a_system_that_tells_nothing(tmp_path, monkeypatch):
    """Neither /proc nor /sys: what is left is what Python and LLVM know."""
    monkeypatch.delenv("container", raising=False)
    machine = describe(tmp_path)
    told = machine.as_dict()
    for name in (
        *(
            "cpu",
            "sockets",
            "cores",
            "threads_per_core",
            "usable_cores",
            "cpu_quota",
            "memory",
            "memory_limit",
        ),
        *("numa", "governor", "min_mhz", "max_mhz", "virtualization", "container"),
    ):
        assert told[name] is None, name
    assert machine.caches == {"l1": None, "l2": None, "l3": None}
    assert machine.cache_details == ()
    assert not (machine.rocm or machine.opencl)
    assert machine.usable_cpus == len(machine.affinity)
    assert machine.microarchitecture == describe().microarchitecture
    assert len(fingerprint(machine)) == 16


def test_a_server(tmp_path, allow):
    allow(0, 1, 4, 5)
    machine = describe(lay(tmp_path, trees.server()))
    assert machine.cpu == "Intel(R) Xeon(R) 8592+"
    assert (machine.sockets, machine.cores, machine.threads_per_core) == (2, 4, 2)
    assert (machine.usable_cpus, machine.usable_cores, machine.affinity) == (4, 2, (0, 1, 4, 5))
    assert machine.caches["l3"] == 300 << 20
    assert [node.cpus for node in machine.numa] == [(0, 1, 4, 5), (2, 3, 6, 7)]
    assert (machine.governor, machine.min_mhz, machine.max_mhz) == ("powersave", 800.0, 3500.0)
    assert machine.virtualization == "none"


def test_a_container_with_a_quota(tmp_path, allow):
    allow(*range(8))
    group = {
        "proc/self/cgroup": "0::/",
        "sys/fs/cgroup/cpu.max": "150000 100000",
        "sys/fs/cgroup/memory.max": str(2 << 30),
        ".dockerenv": "",
    }
    machine = describe(lay(tmp_path, trees.server() | group))
    assert (machine.cpu_quota, machine.usable_cpus, machine.usable_cores) == (1.5, 1, 4)
    assert (machine.memory, machine.memory_limit) == (32_000_000 << 10, 2 << 30)
    assert machine.container is not None


def test_a_tree_of_rubbish(tmp_path, allow):
    """Every file of a server, empty, or with what nobody expects in it."""
    allow(0)
    for text in ("", "-1", "\0", "a: b: c", "9" * 400, "[/x] ² ,,-"):
        root = lay(tmp_path, {**dict.fromkeys(trees.server(), text), "proc/self/cgroup": text})
        machine = describe(root)
        assert machine.caches == {"l1": None, "l2": None, "l3": None}
        assert machine.cores is None
        assert machine.numa is None
        json.dumps(machine.as_dict())


def test_macos(macos, tmp_path):
    macos |= {"machdep.cpu.brand_string": "Apple M9", "hw.memsize": 8 << 30, "hw.physicalcpu": 8}
    machine = describe(tmp_path)
    assert (machine.cpu, machine.memory, machine.cores, machine.affinity) == ("Apple M9", 8 << 30, 8, None)
    assert machine.usable_cpus == machine.cpus
    json.dumps(machine.as_dict())


def test_windows(on_windows, tmp_path):
    on_windows(trees.windows_laptop(), 0, 1)["ProcessorNameString"] = "a laptop's"
    machine = describe(tmp_path)
    assert (machine.cpu, machine.cores, machine.usable_cores) == ("a laptop's", 2, 1)
    assert machine.caches == {"l1": 32 << 10, "l2": 1280 << 10, "l3": 12 << 20}
    json.dumps(machine.as_dict())


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ({}, False),
        ({"blas": ()}, False),
        ({"affinity": (77,)}, False),
        ({"memory_limit": 1}, False),
        ({"cpu": "another"}, True),
        ({"microarchitecture": "another"}, True),
        ({"instruction_sets": ()}, True),
        ({"usable_cpus": 1000}, True),
        ({"usable_cores": 1000}, True),
        ({"cpu_quota": 1.25}, True),
        ({"cache_details": (info.Cache(1, "data", 1, 1, 1, 1),)}, True),
        ({"virtualization": "another"}, True),
        ({"max_mhz": 1.0}, True),
        ({"governor": "another"}, True),
        ({"versions": {"llvmlite": "0.1"}}, True),
    ],
)
def test_fingerprint(machine, changed, matters):
    assert fingerprint(machine) == fingerprint(replace(machine))
    assert (fingerprint(replace(machine, **changed)) != fingerprint(machine)) is matters
