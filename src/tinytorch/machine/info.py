"""What this computer is: processor, caches, memory, BLAS, GPUs, from the system's own sources.

What a system does not tell is None, never a guess.
"""

import ctypes
import importlib.metadata
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinytorch.machine.quota import cpu_quota, memory_limit, usable_cpus

#: Features worth telling a reader of: what the kernels of this field are written for.
_TOLD = (
    *("sse4.2", "avx", "avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw", "avx512vnni", "avx512bf16"),
    *(
        "avx512fp16",
        "amx-tile",
        "amx-int8",
        "amx-bf16",
        "neon",
        "dotprod",
        "i8mm",
        "bf16",
        "fullfp16",
        "sve",
        "sve2",
    ),
)


@dataclass(frozen=True)
class Machine:
    """One computer, as far as it tells; sizes in bytes, None for what is unknown."""

    cpu: str | None
    architecture: str
    microarchitecture: str | None  # LLVM's name for the CPU
    instruction_sets: tuple[str, ...]
    cpus: int
    usable_cpus: int
    cpu_quota: float | None
    caches: dict[str, int | None]  # l1 (data), l2, l3
    memory: int
    memory_limit: int | None
    system: str
    blas: tuple[str, ...]
    gpus: tuple[str, ...] | None  # None: there may be one, and nothing here can ask it
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)


def describe() -> Machine:
    """Ask the system what this computer is.

    >>> describe().usable_cpus >= 1
    True
    """
    import psutil

    name, features = _llvm_host()
    return Machine(
        cpu=_cpu_model(),
        architecture=platform.machine(),
        microarchitecture=name,
        instruction_sets=features,
        cpus=os.cpu_count() or 1,
        usable_cpus=usable_cpus(),
        cpu_quota=cpu_quota(),
        caches=caches(),
        memory=int(psutil.virtual_memory().total),
        memory_limit=memory_limit(),
        system=platform.platform(),
        blas=_blas(),
        gpus=_gpus(),
        versions=_versions(),
    )


def _llvm_host() -> tuple[str | None, tuple[str, ...]]:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return binding.get_host_cpu_name() or None, tuple(name for name in _TOLD if features.get(name))


def _cpu_model() -> str | None:
    if sys.platform == "linux":
        for line in _lines(Path("/proc/cpuinfo")):
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
        return None
    if sys.platform == "darwin":
        return _sysctl_text("machdep.cpu.brand_string")
    return platform.processor() or None


def caches() -> dict[str, int | None]:
    """Return the bytes of the caches l1 (data), l2 and l3, None for what the system does not tell."""
    sizes: dict[str, int | None] = {"l1": None, "l2": None, "l3": None}
    if sys.platform == "darwin":
        for level, key in (("l1", "hw.l1dcachesize"), ("l2", "hw.l2cachesize"), ("l3", "hw.l3cachesize")):
            sizes[level] = _sysctl_number(key)
        return sizes
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ("".join(_lines(index / name)) for name in ("level", "type", "size"))
        if kind != "Instruction" and size[:-1].isdigit() and size[-1:] in units:
            sizes[f"l{level}"] = int(size[:-1]) * units[size[-1]]
    return sizes


def _blas() -> tuple[str, ...]:
    import numpy as np
    import threadpoolctl

    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # some builds load their BLAS on first use
    found = []
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas":
            parts = (library["internal_api"], library["version"], library.get("architecture"))
            found.append(f"{' '.join(str(part) for part in parts if part)}, {library['num_threads']} threads")
    return tuple(found)


def _gpus() -> tuple[str, ...] | None:
    try:
        import pynvml
    except ImportError:
        return None if Path("/proc/driver/nvidia/version").exists() else ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _gpu(pynvml: Any, index: int) -> str:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        name = str(pynvml.nvmlDeviceGetName(handle))
    except pynvml.NVMLError:
        return "a GPU that may not be asked"
    try:
        return f"{name}, {pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30:.0f} GiB"
    except pynvml.NVMLError:  # it shares the system's memory
        return name


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("tinytorch-kernels", "numpy", "numba", "llvmlite"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _sysctl(name: str, buffer: Any) -> bool:
    size = ctypes.c_size_t(ctypes.sizeof(buffer))
    return (
        ctypes.CDLL(None).sysctlbyname(name.encode(), ctypes.byref(buffer), ctypes.byref(size), None, 0) == 0
    )


def _sysctl_text(name: str) -> str | None:
    buffer = ctypes.create_string_buffer(256)
    return buffer.value.decode(errors="replace") if _sysctl(name, buffer) else None


def _sysctl_number(name: str) -> int | None:
    buffer = ctypes.c_uint64()
    return int(buffer.value) if _sysctl(name, buffer) and buffer.value else None
