"""GPUs: NVIDIA's asked through NVML, and whether there are others or OpenCL, without asking them.

NVML is NVIDIA's management library; the extra `gpu` brings its Python binding, pynvml. Asking it starts no
work on a GPU and needs no CUDA.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytorch.machine import windows
from tinytorch.machine.files import ROOT, exists, names, number, read


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU; None for what it does not tell, as one that shares the system's memory."""

    name: str | None
    compute_capability: str | None  # "9.0"
    memory_bytes: int | None
    sm_clock_mhz: int | None  # the highest that it may reach
    memory_clock_mhz: int | None  # the highest
    driver: str | None
    memory_bus_bits: int | None = None

    @property
    def memory_bandwidth(self) -> float | None:
        """Bytes a second: two transfers a clock over the whole bus; None if it does not tell.

        >>> Gpu(None, None, None, None, 2619, None, 5120).memory_bandwidth / 1e9
        3352.32
        """
        if self.memory_clock_mhz is None or self.memory_bus_bits is None:
            return None
        return 2 * self.memory_clock_mhz * 1e6 * self.memory_bus_bits / 8

    def __str__(self) -> str:
        """Return it in a line.

        >>> print(Gpu("NVIDIA H100 80GB HBM3", "9.0", 80 << 30, 1980, 2619, "550.54"))
        NVIDIA H100 80GB HBM3, compute capability 9.0, 80 GiB, SM 1980 MHz, memory 2619 MHz, driver 550.54
        """
        told = (
            ("compute capability {}", self.compute_capability),
            ("{:.0f} GiB", self.memory_bytes and self.memory_bytes / 2**30),
            ("SM {} MHz", self.sm_clock_mhz),
            ("memory {} MHz", self.memory_clock_mhz),
            ("driver {}", self.driver),
        )
        name = self.name or "a GPU that may not be asked"
        return ", ".join([name, *(text.format(value) for text, value in told if value)])


def gpus(root: Path = ROOT) -> tuple[Gpu, ...] | None:
    """Return NVIDIA's GPUs; None if their driver is there and cannot be asked."""
    unknown = None if _nvidia_driver(root) else ()
    try:
        import pynvml
    except ImportError:
        return unknown
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # there is no driver, or none that this process may reach
        return unknown
    try:
        count = _ask(pynvml, pynvml.nvmlDeviceGetCount)
        return None if count is None else tuple(_gpu(pynvml, index) for index in range(count))
    finally:
        _ask(pynvml, pynvml.nvmlShutdown)


def _gpu(pynvml: Any, index: int) -> Gpu:
    driver = _ask(pynvml, pynvml.nvmlSystemGetDriverVersion)
    handle = _ask(pynvml, pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Gpu(None, None, None, None, None, driver)
    capability = _ask(pynvml, pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    memory = _ask(pynvml, pynvml.nvmlDeviceGetMemoryInfo, handle)
    return Gpu(
        name=_ask(pynvml, pynvml.nvmlDeviceGetName, handle),
        compute_capability=None if capability is None else "{}.{}".format(*capability),
        memory_bytes=None if memory is None else int(memory.total),
        sm_clock_mhz=_ask(pynvml, pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        memory_clock_mhz=_ask(pynvml, pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        driver=driver,
        memory_bus_bits=_ask(pynvml, pynvml.nvmlDeviceGetMemoryBusWidth, handle),
    )


def _ask(pynvml: Any, question: Callable[..., Any], *args: Any) -> Any:
    try:
        return question(*args)
    except pynvml.NVMLError:
        return None


def _nvidia_driver(root: Path) -> bool:
    if platform.system() == "Windows":
        return windows.has_library("nvml")
    # The second is where the Windows below a WSL lends its driver.
    return exists(root / "proc/driver/nvidia/version") or exists(root / "usr/lib/wsl/lib/libnvidia-ml.so.1")


def rocm(root: Path = ROOT) -> bool:
    """Say whether the driver of AMD's ROCm is there, with a GPU if it tells."""
    if platform.system() == "Windows":
        return windows.has_library("amdhip64")
    nodes = root / "sys/class/kfd/kfd/topology/nodes"
    told = [read(nodes / name / "gpu_id") for name in names(nodes)]
    if any(told):  # a node of CPUs has the number 0
        return any(number(text) for text in told)
    return exists(root / "dev/kfd")


def opencl(root: Path = ROOT) -> bool:
    """Say whether an OpenCL driver is registered, or the library that loads one installed."""
    if platform.system() == "Windows":
        return windows.has_library("OpenCL")
    if platform.system() == "Darwin":
        return exists(root / "System/Library/Frameworks/OpenCL.framework")
    if any(name.endswith(".icd") for name in names(root / "etc/OpenCL/vendors")):
        return True
    libraries = [root / "usr/lib", root / "usr/lib64", root / "usr/local/lib"]
    libraries += [root / "usr/lib" / name for name in names(root / "usr/lib") if name.endswith("-linux-gnu")]
    return any(name.startswith("libOpenCL.so") for folder in libraries for name in names(folder))
