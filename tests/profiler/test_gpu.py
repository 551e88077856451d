"""A callable on a GPU against its bandwidth and its peak: with events and a GPU that are made up."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from tests.profiler.test_optimization import Event
from tinytorch.gpu.arch import product
from tinytorch.machine.gpus import Gpu
from tinytorch.machine.info import describe
from tinytorch.profiler import gpu
from tinytorch.runtime.cost import Cost

H100 = Gpu("NVIDIA H100 80GB HBM3", "9.0", 80 << 30, 1980, 2619, "550", 5120)


@pytest.fixture
def analyze(monkeypatch):
    """Analyse a call of 2 ms."""
    tensor_type = type("Tensor", (), {})
    monkeypatch.setitem(
        sys.modules,
        "torch",
        types.SimpleNamespace(cuda=types.SimpleNamespace(Event=Event), Tensor=tensor_type),
    )
    tensor = types.SimpleNamespace(device=types.SimpleNamespace(type="cuda"), nbytes=0)

    def kernel(x):
        Event.now += 2.0

    def analyzed(card, cost, dtype):
        machine = replace(describe(), gpus=(card,))
        return gpu.analyze(machine, kernel, (tensor,), 5, cost, dtype)

    return analyzed


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.float32, "fp32"), (np.float16, "fp16"), ("bfloat16", "bf16")]
)
def test_the_peak_is_that_of_the_dtype(analyze, dtype, name):
    peak = product("H100 SXM").peak(name)
    found = analyze(H100, Cost(round(0.7 * peak * 2e-3), 10**9, 10**6), dtype)
    assert found["compute_utilization"] == pytest.approx(0.7, rel=1e-6)
    assert found["bound"] == "compute"
    assert "at 70% of the peak" in found["bottleneck_analysis"]
    assert f"dense {name} peak of H100 SXM" in found["provenance"]["compute_utilization"]
    assert "fewer operations" in found["recommendations"][0]


def test_memory_bounds_where_it_is_nearer(analyze):
    found = analyze(H100, Cost(10**9, 6 * 10**9, 0), np.float32)
    assert found["bound"] == "memory"
    assert found["compute_utilization"] == pytest.approx(1e9 / 2e-3 / product("H100").peak("fp32"))


def test_what_is_not_known_is_said(analyze):
    no_operations = analyze(H100, Cost(0, 10**9, 0), np.float32)
    assert no_operations["compute_utilization"] is None
    assert no_operations["provenance"]["compute_utilization"].startswith("unknown: the operations")
    unknown = analyze(
        replace(H100, name="NVIDIA TITAN Xp", compute_capability="6.1"), Cost(9, 9, 9), np.float32
    )
    assert unknown["provenance"]["compute_utilization"] == "unknown: this GPU is in no table"
    silent = analyze(replace(H100, memory_bus_bits=None), Cost(9, 3 * 10**9, 9), np.float32)
    assert silent["theoretical_peak_bandwidth"] == 3350
    assert silent["provenance"]["theoretical_peak_bandwidth"].startswith("table of GPUs")
    with pytest.raises(ValueError, match="does not tell its bandwidth"):
        analyze(replace(H100, name="?", compute_capability="6.1", memory_bus_bits=None), Cost(9, 9, 9), None)
