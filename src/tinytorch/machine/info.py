"""What this computer is: processor, caches, memory, libraries, GPUs, from the system's own sources.

What a system does not tell is None, never a guess. Each part has a file of its own in this folder.
"""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinytorch.machine import libraries
from tinytorch.machine.caches import Cache, cache_details, caches, sizes
from tinytorch.machine.cpu import cpu_model, instruction_sets, llvm_name, topology
from tinytorch.machine.files import ROOT
from tinytorch.machine.frequency import frequency
from tinytorch.machine.gpus import Gpu, gpus, opencl, rocm
from tinytorch.machine.host import container, virtualization
from tinytorch.machine.memory import NumaNode, memory_bytes, numa_nodes
from tinytorch.machine.quota import affinity, cpu_quota, memory_limit, usable_cpus

__all__ = ["Cache", "Gpu", "Machine", "NumaNode", "caches", "describe", "fingerprint"]

#: What the speed of a kernel can hang on, and what measured limits are therefore kept under. Not which CPUs
#: it may use, only how many: a scheduler of containers gives others each time.
_LIMITS = (
    *("cpu", "microarchitecture", "instruction_sets", "usable_cpus", "usable_cores", "cpu_quota"),
    *("cache_details", "governor", "min_mhz", "max_mhz", "virtualization"),
)


@dataclass(frozen=True)
class Machine:
    """One computer, as far as it tells; sizes in bytes, None for what is unknown."""

    cpu: str | None
    architecture: str
    microarchitecture: str | None  # LLVM's name for the CPU
    instruction_sets: tuple[str, ...]
    cpus: int
    sockets: int | None
    cores: int | None
    threads_per_core: int | None
    usable_cpus: int
    usable_cores: int | None
    affinity: tuple[int, ...] | None
    cpu_quota: float | None  # in CPUs
    caches: dict[str, int | None]  # l1 (data), l2, l3
    cache_details: tuple[Cache, ...]
    memory: int | None
    memory_limit: int | None
    numa: tuple[NumaNode, ...] | None
    governor: str | None
    min_mhz: float | None
    max_mhz: float | None
    virtualization: str | None  # "none" where the CPU says that there is none
    container: str | None  # None: no mark of one
    system: str
    blas: tuple[str, ...]
    openmp: tuple[str, ...]
    gpus: tuple[Gpu, ...] | None  # None: there may be one, and nothing here can ask it
    rocm: bool
    opencl: bool
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return plain


def describe(root: Path = ROOT) -> Machine:
    """Ask the system what this computer is; `root` is where its files lie.

    >>> describe().usable_cpus >= 1
    True
    """
    layout, clock, details = topology(root), frequency(root), cache_details(root)
    blas, openmp = libraries.loaded()
    return Machine(
        cpu=cpu_model(root),
        architecture=platform.machine(),
        microarchitecture=llvm_name(),
        instruction_sets=instruction_sets(),
        cpus=os.cpu_count() or 1,
        sockets=layout.sockets,
        cores=layout.cores,
        threads_per_core=layout.threads_per_core,
        usable_cpus=usable_cpus(root),
        usable_cores=layout.usable_cores,
        affinity=affinity(),
        cpu_quota=cpu_quota(root),
        caches=sizes(details),
        cache_details=details,
        memory=memory_bytes(root),
        memory_limit=memory_limit(root),
        numa=numa_nodes(root),
        governor=clock.governor,
        min_mhz=clock.min_mhz,
        max_mhz=clock.max_mhz,
        virtualization=virtualization(root),
        container=container(root),
        system=platform.platform(),
        blas=blas,
        openmp=openmp,
        gpus=gpus(root),
        rocm=rocm(root),
        opencl=opencl(root),
        versions=libraries.versions(),
    )


def fingerprint(machine: Machine) -> str:
    """Return 16 hexadecimal digits that differ where measured limits may: hardware, quota, compiler.

    >>> len(fingerprint(describe()))
    16
    """
    whole = machine.as_dict()
    parts = [*(whole[name] for name in _LIMITS), machine.versions.get("llvmlite")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
