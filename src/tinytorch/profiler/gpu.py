"""A callable whose arrays lie on a GPU: timed by its events, held against its bandwidth and its peak."""

import statistics
from collections.abc import Callable
from typing import Any

from tinytorch.gpu.arch import SOURCES, Product
from tinytorch.gpu.models.tensor_cores import dtype_name
from tinytorch.machine.gpus import Gpu
from tinytorch.machine.info import Machine
from tinytorch.measure.clocks import CudaClock, clock_for
from tinytorch.measure.counting import what_it_does
from tinytorch.measure.counting.count import Count
from tinytorch.measure.inputs import leaves
from tinytorch.measure.timing import benchmark
from tinytorch.profiler.device import of
from tinytorch.profiler.results import PerformanceAnalysis
from tinytorch.runtime import units
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.errors import InputError

#: Share of a roof from which it is what bounds a kernel.
_NEAR = 0.6
_ADVICE = {
    "memory": "only fewer bytes will help: fuse operations",
    "compute": "only fewer operations will help, or a dtype with a higher peak",
}


def on_gpu(args: tuple[Any, ...]) -> bool:
    """Say whether an array among arguments lies on a GPU."""
    return isinstance(clock_for(leaves(args)), CudaClock)


def analyze(
    machine: Machine,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    iterations: int,
    cost: Cost | None,
    dtype: Any,
) -> PerformanceAnalysis:
    """Time and count a callable on the first GPU.

    Raises ValueError if neither NVML nor the table of GPUs tells its bandwidth.
    """
    gpu = next(iter(machine.gpus or ()), None)
    chip = None if gpu is None else _product(gpu)
    bandwidth, told = _bandwidth(gpu, chip)
    count = what_it_does(func, args, stated=cost, dtype=dtype)
    measured = benchmark(func, *args, rounds=iterations, seconds=float("inf"))
    rate = count.cost.bytes / measured.median
    used, how = _utilization(chip, count, measured.median)
    bound, reached = _bound(rate / bandwidth, used)
    return {
        "device": (gpu and gpu.name) or "cuda",
        "avg_execution_time_us": statistics.fmean(measured.samples) * 1e6,
        "median_execution_time_us": measured.median * 1e6,
        "memory_bandwidth_gb_s": rate / 1e9,
        "compute_utilization": used,
        "theoretical_peak_bandwidth": bandwidth / 1e9,
        "bandwidth_efficiency": rate / bandwidth,
        "bottleneck_analysis": f"{bound}: {reached}",
        "bound": bound,
        "recommendations": [f"{reached}: {_ADVICE[bound]}"] if bound in _ADVICE else [],
        "profile": None,
        "provenance": {
            "avg_execution_time_us": "measured: CUDA events",
            "median_execution_time_us": "measured: CUDA events",
            "memory_bandwidth_gb_s": f"bytes ({count.by}) by time",
            "compute_utilization": how,
            "theoretical_peak_bandwidth": told,
            "bandwidth_efficiency": "the one bandwidth by the other",
        },
    }


def _product(gpu: Gpu) -> Product | None:
    try:
        return of(gpu)
    except InputError:  # neither its name nor its compute capability is in a table
        return None


def _bandwidth(gpu: Gpu | None, chip: Product | None) -> tuple[float, str]:
    """Return the bytes a second of a GPU's memory, and who tells."""
    if gpu is not None and gpu.memory_bandwidth is not None:
        return gpu.memory_bandwidth, "modelled: bus width and memory clock as NVML tells them"
    if chip is not None and chip.bandwidth is not None:
        return chip.bandwidth, f"table of GPUs: {SOURCES[chip.sources['bandwidth']]}"
    raise ValueError("the GPU does not tell its bandwidth: NVML is asked by tinytorch-kernels[gpu]")


def _utilization(chip: Product | None, count: Count, seconds: float) -> tuple[float | None, str]:
    """Return the operations a second by the peak of their dtype, and where both are from."""
    if not count.cost.operations or count.dtype is None:
        return None, f"unknown: the operations or their dtype are not ({count.by})"
    if chip is None:
        return None, "unknown: this GPU is in no table"
    try:
        name = dtype_name(count.dtype.name)
        peak = chip.peak(name)
    except InputError as error:
        return None, f"unknown: {error}"
    clock = "tensor" if name in chip.capability.tensor_fma else "SM"
    faster = "; products that run as tf32 go beyond it" if name == "fp32" and "tf32" in chip.dtypes else ""
    return count.cost.operations / seconds / peak, (
        f"operations ({count.by}) by time and by the dense {name} peak of {chip.name}, "
        f"{units.quantity(peak, 'FLOP/s')}: modelled, SMs by rate and {clock} clock{faster}"
    )


def _bound(memory: float, compute: float | None) -> tuple[str, str]:
    """Return what bounds a kernel that reaches these shares of both roofs, in a word and in words."""
    if compute is not None and compute >= _NEAR and compute > memory:
        return "compute", f"at {units.share(compute)} of the peak of its dtype"
    return (
        "memory" if memory >= _NEAR else "unknown",
        f"at {units.share(memory)} of the bandwidth of its memory",
    )
