"""`KernelOptimizationProfiler`: the keys of its contract, what is kept, and the report."""

import json
import sys
import types

import numpy as np
import pytest

from tests.profiler import subjects
from tests.roofs import made
from tinytorch import ops
from tinytorch.core import kernels
from tinytorch.core.kernels import KernelOptimizationProfiler
from tinytorch.machine.gpus import Gpu
from tinytorch.profiler import hardware, optimization
from tinytorch.runtime import threads

PERFORMANCE = {
    "avg_execution_time_us", "memory_bandwidth_gb_s", "compute_utilization", "theoretical_peak_bandwidth",
    "bandwidth_efficiency", "bottleneck_analysis", "device", "provenance",
}  # fmt: skip
FUSION = {
    "operation_sequence", "fusion_opportunities", "memory_savings_factor", "performance_improvement",
    "implementation_complexity", "provenance",
}  # fmt: skip


@pytest.fixture
def profiler(monkeypatch):
    monkeypatch.setattr(threads, "_chosen", 2)
    monkeypatch.setattr(optimization, "limits", made)
    return KernelOptimizationProfiler()


def test_hardware_is_detected_and_overridden(profiler):
    config = profiler.hardware_config
    assert config["cpu_cores"] >= 1
    assert config["memory_gb"] > 0.2
    assert set(config["cache_sizes"]) == {"l1", "l2", "l3"}
    assert config["warp_size"] == 32
    assert config["gpu_available"] in (True, False)
    assert {"gpu_memory_gb", "tensor_cores"} <= set(config)
    ours = KernelOptimizationProfiler({"cpu_cores": 64, "mine": 1}).hardware_config
    assert (ours["cpu_cores"], ours["mine"]) == (64, 1)
    assert ours["memory_gb"] == config["memory_gb"]


def test_a_gpu_in_the_machine():
    from dataclasses import replace

    from tinytorch.machine.info import describe

    old = Gpu("Pascal", "6.1", 8 << 30, 1, 1, "1")
    new = Gpu("Hopper", "9.0", 80 << 30, 1, 1, "1")
    for gpu, cores in ((old, False), (new, True)):
        config = hardware.detect(replace(describe(), gpus=(gpu,)))
        assert config["gpu_available"]
        assert config["tensor_cores"] is cores
        assert config["gpu_memory_gb"] == gpu.memory_bytes / 2**30
    assert not hardware.detect(replace(describe(), gpus=()))["gpu_available"]
    assert not hardware.detect(replace(describe(), gpus=None))["gpu_available"]


def test_performance_on_the_cpu(profiler):
    a = np.ones((256, 256), np.float32)
    found = profiler.analyze_cuda_kernel_performance(ops.matmul, (a, a), iterations=5)
    assert set(found) >= PERFORMANCE
    assert found["device"] == "cpu"
    roofs = {roof["name"]: roof["rate"] for roof in found["profile"]["place"]["roofs"]}
    assert found["compute_utilization"] == pytest.approx(
        2 * 256**3 / (found["median_execution_time_us"] * 1e-6) / roofs["compute"]
    )
    assert found["memory_bandwidth_gb_s"] == pytest.approx(
        3 * a.nbytes / found["median_execution_time_us"] / 1e3, rel=1e-6
    )
    assert found["bandwidth_efficiency"] == pytest.approx(
        found["memory_bandwidth_gb_s"] / found["theoretical_peak_bandwidth"]
    )
    assert found["profile"]["measurement"]["count"] == 5
    assert set(found["provenance"]) >= {
        k for k in PERFORMANCE if k not in ("device", "provenance", "bottleneck_analysis")
    }
    assert profiler.profile_results == {"cuda_analysis": found}
    assert profiler.optimization_recommendations == found["recommendations"]
    json.dumps(found)


def test_one_argument_needs_no_tuple(profiler):
    assert (
        profiler.analyze_cuda_kernel_performance(np.exp, np.ones(10), 3)["profile"]["count"]["operations"]
        == 10
    )
    with pytest.raises(ValueError, match="iterations must be at least 3, not 2"):
        profiler.analyze_cuda_kernel_performance(np.exp, np.ones(10), 2)
    with pytest.raises(KeyError):
        profiler.analyze_cuda_kernel_performance(subjects.raises, np.ones(10), 3)


class Event:
    """CUDA's events, of a GPU that takes 2 ms for anything."""

    now = 0.0

    def __init__(self, enable_timing):
        self.at = None

    def record(self):
        self.at = Event.now

    def synchronize(self):
        """Be there already."""

    def elapsed_time(self, end):
        return end.at - self.at


def test_arrays_on_a_gpu_are_held_against_its_memory(profiler, monkeypatch):
    cuda = types.SimpleNamespace(Event=Event)
    tensor_type = type("Tensor", (), {})
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda, Tensor=tensor_type))
    tensor = types.SimpleNamespace(device=types.SimpleNamespace(type="cuda"), nbytes=0)

    def kernel(x):
        Event.now += 2.0

    from dataclasses import replace

    from tinytorch.runtime.cost import Cost

    gpu = Gpu("H100", "9.0", 80 << 30, 1980, 2619, "550", 5120)
    profiler._machine = replace(profiler._machine, gpus=(gpu,))
    cost = Cost(0, 4 * 10**9, 10**9)  # in 2 ms: 2500 of 3352 GB/s
    found = profiler.analyze_cuda_kernel_performance(kernel, tensor, 5, cost=cost)
    assert set(found) >= PERFORMANCE
    assert found["device"] == "H100"
    assert found["avg_execution_time_us"] == pytest.approx(2000)
    assert found["bandwidth_efficiency"] == pytest.approx(2500 / 3352.32)
    assert found["bottleneck_analysis"].startswith("memory: at 75%")
    profiler._machine = replace(profiler._machine, gpus=())
    with pytest.raises(ValueError, match="does not tell its bandwidth"):
        profiler.analyze_cuda_kernel_performance(kernel, tensor, 5, cost=cost)


def test_fusion(profiler):
    found = profiler.analyze_kernel_fusion_opportunities(["matmul", "relu", "add"], seconds=0.02)
    assert set(found) >= FUSION
    (one,) = found["fusion_opportunities"]
    assert one["operations"] == ["matmul", "relu", "add"]
    assert one["measured"]["operations"] == ["matmul", "relu"]
    assert found["memory_savings_factor"] == pytest.approx(one["savings_factor"])
    assert found["memory_savings_factor"] > 1
    assert found["implementation_complexity"] == "medium"
    assert profiler.profile_results["kernel_fusion"] is found
    json.dumps(found)


def test_nothing_to_fuse(profiler):
    found = profiler.analyze_kernel_fusion_opportunities(["matmul"])
    assert found["fusion_opportunities"] == []
    assert (found["memory_savings_factor"], found["performance_improvement"]) == (1, 1)
    assert found["implementation_complexity"] == "none"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shape": (1, 2)}, "shape must be"),
        ({"shape": (0, 2, 3)}, "shape must be"),
        ({"dtype": "int8"}, "dtype must be a float type"),
    ],
)
def test_options_that_cannot_be(profiler, options, said):
    with pytest.raises(ValueError, match=said):
        profiler.analyze_kernel_fusion_opportunities(["matmul", "relu"], **options)


def test_report(profiler):
    assert "no analysis was run" in profiler.generate_optimization_report()
    profiler.analyze_cuda_kernel_performance(subjects.loop, np.ones(2000), 3)
    profiler.analyze_kernel_fusion_opportunities(["exp", "sum"])
    text = profiler.generate_optimization_report()
    assert text.startswith("Kernel Optimization Analysis Report\n")
    for part in (
        "Hardware",
        "Kernel performance",
        "loop on cpu",
        "Kernel fusion",
        "exp -> sum",
        "Recommendations",
    ):
        assert part in text
    assert all(told in text for told in profiler.optimization_recommendations)


def test_it_is_found_under_the_course_name_and_not_imported_before():
    assert kernels.KernelOptimizationProfiler is optimization.KernelOptimizationProfiler
    with pytest.raises(AttributeError, match="nothing"):
        kernels.nothing  # noqa: B018
    import subprocess

    code = "import sys, tinytorch.core.kernels; sys.exit('tinytorch.profiler' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
