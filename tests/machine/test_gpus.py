"""GPUs as NVML tells of them, and the marks of ROCm and OpenCL."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from tests.machine.trees import lay
from tinytorch.machine.gpus import Gpu, gpus, opencl, rocm

DRIVER = {"proc/driver/nvidia/version": "NVRM version: 550.54"}
H100 = Gpu("NVIDIA H100", "9.0", 80 << 30, 1980, 2619, "550.54", 5120)


class NVMLError(Exception):
    pass


class Nvml(ModuleType):
    """Answers as pynvml does for one GPU; what is named in `refused` raises."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    def __init__(self, *refused, count=1):
        super().__init__("pynvml")
        self.opened = self.closed = 0
        answers = {
            "nvmlDeviceGetCount": lambda: count,
            "nvmlSystemGetDriverVersion": lambda: "550.54",
            "nvmlDeviceGetHandleByIndex": lambda index: f"handle {index}",
            "nvmlDeviceGetName": lambda handle: "NVIDIA H100",
            "nvmlDeviceGetCudaComputeCapability": lambda handle: (9, 0),
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 << 30),
            "nvmlDeviceGetMaxClockInfo": lambda handle, clock: {1: 1980, 2: 2619}[clock],
            "nvmlDeviceGetMemoryBusWidth": lambda handle: 5120,
            "nvmlInit": self.open,
            "nvmlShutdown": self.close,
        }
        for name, answer in answers.items():
            setattr(self, name, self.refuse if name in refused else answer)

    def open(self):
        self.opened += 1

    def close(self):
        self.closed += 1

    @staticmethod
    def refuse(*_):
        raise NVMLError("Not Supported")


@pytest.fixture
def nvml(monkeypatch):
    """Let pynvml be what a test makes, or absent (None)."""
    return lambda module: monkeypatch.setitem(sys.modules, "pynvml", module)


def test_one_and_several(nvml, tmp_path):
    for count in (0, 1, 8):
        module = Nvml(count=count)
        nvml(module)
        assert gpus(tmp_path) == (H100,) * count
        assert module.opened == module.closed == 1


@pytest.mark.parametrize(
    ("refused", "found"),
    [
        (("nvmlDeviceGetHandleByIndex",), Gpu(None, None, None, None, None, "550.54")),
        (("nvmlDeviceGetMemoryInfo",), Gpu("NVIDIA H100", "9.0", None, 1980, 2619, "550.54", 5120)),
        (("nvmlDeviceGetMaxClockInfo",), Gpu("NVIDIA H100", "9.0", 80 << 30, None, None, "550.54", 5120)),
        (
            ("nvmlDeviceGetCudaComputeCapability",),
            Gpu("NVIDIA H100", None, 80 << 30, 1980, 2619, "550.54", 5120),
        ),
        (
            ("nvmlSystemGetDriverVersion", "nvmlShutdown"),
            Gpu("NVIDIA H100", "9.0", 80 << 30, 1980, 2619, None, 5120),
        ),
    ],
)
def test_what_may_not_be_asked(nvml, tmp_path, refused, found):
    nvml(Nvml(*refused))
    assert gpus(tmp_path) == (found,)


@pytest.mark.parametrize(("files", "found"), [({}, ()), (DRIVER, None)])
def test_without_nvml(nvml, tmp_path, files, found):
    """None is for a driver that is there and cannot be asked; without one there is no GPU of theirs."""
    root = lay(tmp_path, files)
    for module in (None, Nvml("nvmlInit")):
        nvml(module)
        assert gpus(root) == found
    nvml(Nvml("nvmlDeviceGetCount"))
    assert gpus(root) is None


def test_without_nvml_on_windows(nvml, monkeypatch, on_windows, tmp_path):
    nvml(None)
    on_windows(b"", 0)
    monkeypatch.setenv("SystemRoot", str(tmp_path))
    assert (gpus(), rocm(), opencl()) == ((), False, False)
    lay(tmp_path, {f"System32/{name}.dll": "" for name in ("nvml", "OpenCL", "amdhip64_6")})
    assert (gpus(), rocm(), opencl()) == (None, True, True)


def test_text():
    assert str(Gpu("Tegra", None, None, None, None, None)) == "Tegra"
    assert str(Gpu(None, None, None, None, None, "550.54")) == "a GPU that may not be asked, driver 550.54"


KFD = "sys/class/kfd/kfd/topology/nodes"


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({}, False),
        ({"dev/kfd": ""}, True),
        ({f"{KFD}/0/gpu_id": "0", f"{KFD}/1/gpu_id": "51140"}, True),
        ({f"{KFD}/0/gpu_id": "0", "dev/kfd": ""}, False),  # the driver, and no GPU that it drives
    ],
)
def test_rocm(tmp_path, files, there):
    assert rocm(lay(tmp_path, files)) is there


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({}, False),
        ({"etc/OpenCL/vendors/nvidia.icd": "libnvidia-opencl.so.1"}, True),
        ({"etc/OpenCL/vendors/README": ""}, False),
        ({"usr/lib/aarch64-linux-gnu/libOpenCL.so.1": ""}, True),
        ({"usr/lib64/libOpenCL.so.1.0.0": ""}, True),
        ({"usr/lib/libOpenCLother.so": ""}, False),
    ],
)
def test_opencl(tmp_path, files, there):
    assert opencl(lay(tmp_path, files)) is there


def test_opencl_of_macos(macos, tmp_path):
    assert not opencl(tmp_path)
    lay(tmp_path, {"System/Library/Frameworks/OpenCL.framework/OpenCL": ""})
    assert opencl(tmp_path)
