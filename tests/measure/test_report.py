"""The table of the machine, for one that tells all and one that tells nothing."""

import io
from dataclasses import replace

from rich.console import Console

from tinytorch.machine.info import Cache, Gpu, NumaNode, describe
from tinytorch.measure.report import show_machine


def shown(machine):
    console = Console(file=io.StringIO(), width=200)
    show_machine(console, machine, 4)
    lines = console.file.getvalue().splitlines()[1:]
    return {line[:18].strip(): line[18:].strip() for line in lines}


def test_all_told():
    machine = replace(
        describe(),
        cpu="[/odd] CPU",
        cpus=16,
        sockets=1,
        cores=8,
        usable_cpus=4,
        usable_cores=2,
        cpu_quota=None,
        caches={"l1": 48 << 10, "l2": 2 << 20, "l3": None},
        cache_details=(Cache(1, "data", 48 << 10, 64, 12, 1), Cache(1, "instruction", 32 << 10, 64, 8, 2)),
        memory=32 << 30,
        memory_limit=4 << 30,
        numa=(NumaNode(0, (0,), 1), NumaNode(1, (1,), 1)),
        governor="powersave",
        min_mhz=800.0,
        max_mhz=4800.0,
        virtualization="KVM",
        container="docker",
        gpus=(Gpu("H100", "9.0", None, None, None, None),),
        rocm=True,
        opencl=True,
    )
    rows = shown(machine)
    assert rows["CPU"].startswith("[/odd] CPU (")
    assert rows["CPUs"] == "16 on 8 cores in 1 socket; 4 usable here on 2 cores; kernels use 4"
    assert rows["clock"] == "800 to 4800 MHz, governor powersave"
    assert rows["caches"] == "L1 48 KiB, L2 2 MiB, L3 unknown"
    assert rows["memory"] == "32.0 GiB, limited to 4.0 GiB, 2 NUMA nodes"
    assert rows["virtualization"] == "KVM, in a container (docker)"
    assert rows["GPU"] == "H100, compute capability 9.0; ROCm is installed; OpenCL is installed"
    rows = shown(replace(machine, cpu_quota=1.5, usable_cpus=1, min_mhz=None))
    assert rows["CPUs"].endswith("1 usable here within a quota of 1.5; kernels use 4")
    assert rows["clock"] == "up to 4800 MHz, governor powersave"


def test_nothing_told(tmp_path, monkeypatch):
    monkeypatch.delenv("container", raising=False)
    machine = replace(describe(tmp_path), cpus=2, usable_cpus=2, gpus=None, blas=(), openmp=())
    rows = shown(machine)
    assert rows["CPU"].startswith("unknown (")
    assert rows["CPUs"] == "2; 2 usable here; kernels use 4"
    assert rows["clock"] == "limits unknown, governor unknown"
    assert rows["caches"] == "L1 unknown, L2 unknown, L3 unknown"
    assert rows["memory"] == rows["virtualization"] == rows["BLAS of NumPy"] == "unknown"
    assert rows["GPU"].startswith("unknown: ")
    assert "tinytorch-kernels[gpu]" in rows["GPU"]
