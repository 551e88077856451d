"""A callable on the CPU: its profile, under the keys of every analysis of a kernel's performance."""

import statistics
from collections.abc import Callable
from typing import Any

from tinytorch.measure.limits import Limits
from tinytorch.profiler.profile import profile
from tinytorch.profiler.results import PerformanceAnalysis
from tinytorch.runtime.cost import Cost


def analyze(
    known: Limits,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    iterations: int,
    cost: Cost | None,
    dtype: Any,
) -> PerformanceAnalysis:
    """Profile a callable in as many rounds as `iterations`, held against what the machine can do.

    `cost` and `dtype` say what a call does where counting cannot know. What the callable raises is raised.
    """
    found = profile(func, *args, cost=cost, dtype=dtype, rounds=iterations, seconds=float("inf"), known=known)
    roof = found.place.roof(found.place.level)
    told = found.provenance
    return {
        "device": "cpu",
        "avg_execution_time_us": statistics.fmean(found.measurement.samples) * 1e6,
        "median_execution_time_us": found.measurement.median * 1e6,
        "memory_bandwidth_gb_s": found.place.bytes_rate / 1e9,
        "compute_utilization": found.evidence.compute,
        "theoretical_peak_bandwidth": roof.rate / 1e9,
        "bandwidth_efficiency": roof.share,
        "bottleneck_analysis": f"{found.bound.name}: {found.bound.reason}",
        "bound": found.bound.name,
        "recommendations": list(found.recommendations),
        "profile": found.as_dict(),
        "provenance": {
            "avg_execution_time_us": told["seconds"],
            "median_execution_time_us": told["seconds"],
            "memory_bandwidth_gb_s": f"bytes ({told['bytes']}) by time",
            "compute_utilization": f"operations ({told['operations']}) by time and peak ({told['peak']})",
            "theoretical_peak_bandwidth": told["bandwidth"],
            "bandwidth_efficiency": "the one bandwidth by the other",
        },
    }
