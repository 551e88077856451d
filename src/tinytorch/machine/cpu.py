"""The processor: its model, what LLVM calls it, the instruction sets, and how its cores are laid out."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from tinytorch.machine import sysctl, windows
from tinytorch.machine.files import CPUS, ROOT, cpu_list, cpuinfo, number, read
from tinytorch.machine.quota import affinity

#: Features worth telling a reader of, by LLVM's names: what the kernels of this field are written for.
_X86 = "sse4.2 avx avx2 fma f16c avxvnni avx512f avx512bw avx512vnni avx512bf16 avx512fp16"
_AMX = "amx-tile amx-int8 amx-bf16"
_ARM = "neon dotprod i8mm bf16 fullfp16 sve sve2 sme"
_TOLD = f"{_X86} {_AMX} {_ARM}".split()


@dataclass(frozen=True)
class Topology:
    """How CPUs are spread over cores and sockets; None for what is unknown."""

    sockets: int | None
    cores: int | None
    usable_cores: int | None  # that have a CPU which this process may run on
    threads_per_core: int | None  # of the core that has most


def cpu_model(root: Path = ROOT) -> str | None:
    """Return the maker's name of the processor; None where the system has none, as Linux on most ARM."""
    if platform.system() == "Darwin":
        return sysctl.text("machdep.cpu.brand_string")
    if platform.system() == "Windows":
        return windows.registry(windows.PROCESSOR, "ProcessorNameString")
    return cpuinfo(root).get("model name")


def llvm_name() -> str | None:
    """Return LLVM's name of the microarchitecture, such as "znver4"; None if LLVM knows no better one."""
    from llvmlite import binding

    name = str(binding.get_host_cpu_name())
    return None if name in {"", "generic"} else name


def instruction_sets() -> tuple[str, ...]:
    """Return the names of the vector extensions that the CPU and the system support."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return tuple(name for name in _TOLD if features.get(name))


def topology(root: Path = ROOT) -> Topology:
    """Count sockets, cores and the threads of a core.

    >>> topology().usable_cores != 0
    True
    """
    if platform.system() == "Darwin":
        return _macos()
    if platform.system() == "Windows":
        return _windows(windows.information())
    return _linux(root)


def _linux(root: Path) -> Topology:
    usable = set(affinity() or ())
    # A container's list may be of as many CPUs as it may use, and not of those.
    cpus = usable.union(cpu_list(read(root / CPUS / "online")))
    packages: set[int | None] = set()
    cores: dict[int, tuple[int, ...]] = {}
    for cpu in cpus:
        folder = root / CPUS / f"cpu{cpu}/topology"
        packages.add(number(read(folder / "physical_package_id")))  # -1 where firmware does not tell
        # Not core_id, which on ARM starts again in each cluster of a package.
        siblings = read(folder / "core_cpus_list") or read(folder / "thread_siblings_list")
        cores[cpu] = cpu_list(siblings)
    sockets = None if None in packages else len(packages)
    if not all(cores.values()):
        return Topology(sockets, None, None, None)
    counted = {threads for cpu, threads in cores.items() if cpu in usable}
    most = max(map(len, cores.values()), default=None)
    return Topology(sockets, len(set(cores.values())), len(counted) or None, most)


def _macos() -> Topology:
    cores, threads = sysctl.number("hw.physicalcpu"), sysctl.number("hw.logicalcpu")
    each = threads // cores if cores and threads else None
    return Topology(sysctl.number("hw.packages"), cores, cores, each)  # there is no affinity


def _windows(data: bytes) -> Topology:
    cores = [cpus for _, cpus in windows.records(data, windows.CORE)]
    usable = set(affinity() or range(os.cpu_count() or 1))
    return Topology(
        sockets=len(list(windows.records(data, windows.PACKAGE))) or None,
        cores=len(cores) or None,
        usable_cores=sum(not usable.isdisjoint(cpus) for cpus in cores) or None,
        threads_per_core=max(map(len, cores), default=None),
    )
