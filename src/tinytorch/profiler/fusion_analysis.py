"""What fusing a sequence of operations saves: bytes counted, and time, on this CPU or on a GPU.

On the CPU what `ops.linear` fuses is timed both ways, and the rest modelled by the measured roofline. On a
GPU all is modelled by its peaks, its bandwidth and what a launch costs.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tinytorch.gpu.models.fusion import Kernel
from tinytorch.gpu.models.fusion import fusion as model
from tinytorch.gpu.models.roofs import LAUNCH_SECONDS, bound
from tinytorch.gpu.models.tensor_cores import dtype_name
from tinytorch.measure.roofline import Roofline
from tinytorch.profiler import fusion
from tinytorch.profiler.checks import dtype_of
from tinytorch.profiler.device import Device
from tinytorch.profiler.results import FusionAnalysis
from tinytorch.runtime import units
from tinytorch.runtime.arrays import FLOATS, DType

Shape = tuple[int, int, int]
#: Seconds of operations one after the other, and of the same in one pass.
Seconds = Callable[[fusion.Group], tuple[float, float]]


def checked(sequence: Sequence[str], shape: Shape, dtype: Any) -> tuple[tuple[str, ...], DType]:
    """Return the operations' names and the dtype; ValueError for what cannot be."""
    names = fusion.known(sequence)
    kind = dtype_of(dtype)
    if kind not in FLOATS:
        raise ValueError(f"dtype must be a float type that kernels take, not {kind}")
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"shape must be (M, K, N), each at least 1, not {shape!r}")
    return names, kind


def on_cpu(
    names: Sequence[str], shape: Shape, dtype: DType, roofline: Roofline, seconds: float
) -> FusionAnalysis:
    """Analyse a sequence on this CPU, `seconds` for each of two ways where both can be timed."""

    def modelled(group: fusion.Group) -> tuple[float, float]:
        return fusion.modelled_seconds(group.apart, roofline), fusion.modelled_seconds(
            [group.together], roofline
        )

    found = fusion.groups(names, shape, dtype)
    opportunities = [
        _measured(_opportunity(group, modelled), group, shape, dtype, roofline, seconds) for group in found
    ]
    before = fusion.modelled_seconds(fusion.costs(names, shape, dtype), roofline)
    measured = [one for one in opportunities if one["measured"]]
    how = (
        f"measured for {len(measured)} of {len(opportunities)} groups, each weighed by its "
        "modelled time; modelled for the others by the measured roofline"
    )
    return _result(names, shape, dtype, "cpu", found, opportunities, before, how)


def on_gpu(names: Sequence[str], shape: Shape, dtype: DType, device: Device) -> FusionAnalysis:
    """Model a sequence on a GPU. Raises InputError where it has no units for the dtype."""

    def modelled(group: fusion.Group) -> tuple[float, float]:
        kernels, before = [], 0  # each reads what the one before wrote
        for i, (name, cost) in enumerate(zip(group.names, group.apart, strict=True)):
            reads = {f"result {i - 1}": before, f"operand {i}": cost.read - before}
            kernels.append(
                Kernel(name, reads, {f"result {i}": cost.written}, cost.operations, _units(name, dtype))
            )
            before = cost.written
        both = model(kernels, device.product)
        return both.seconds_apart, both.fused.seconds

    found = fusion.groups(names, shape, dtype)
    # What `ops.linear` does it does on the CPU alone.
    opportunities = [_opportunity(group, modelled) | {"call": None} for group in found]
    before = sum(
        bound(device.product, _units(name, dtype), cost.operations, cost.bytes).seconds
        for name, cost in zip(names, fusion.costs(names, shape, dtype), strict=True)
    )
    how = device.modelled(
        "the slower of arithmetic at its peak and bytes at its bandwidth, and "
        f"{units.quantity(LAUNCH_SECONDS, 's')} a launch (assumed)"
    )
    return _result(names, shape, dtype, device.product.name, found, opportunities, before, how)


def _units(name: str, dtype: DType) -> str:
    """Return the dtype whose peak bounds an operation: only products run on tensor cores."""
    exact = dtype_name(dtype.name)
    return exact if fusion.STEPS[name].kind == "product" or exact == "fp64" else "fp32"


def _result(
    names: Sequence[str],
    shape: Shape,
    dtype: DType,
    device: str,
    found: Sequence[fusion.Group],
    opportunities: list[dict[str, Any]],
    before: float,
    how: str,
) -> FusionAnalysis:
    saved = sum(sum(c.bytes for c in group.apart) - group.together.bytes for group in found)
    moved = sum(cost.bytes for cost in fusion.costs(names, shape, dtype))
    gained = sum(one["modelled_seconds"]["apart"] * (1 - 1 / one["speedup"]) for one in opportunities)
    return {
        "device": device,
        "operation_sequence": list(names),
        "shape": list(shape),
        "dtype": str(dtype),
        "fusion_opportunities": opportunities,
        "memory_savings_factor": moved / (moved - saved),
        "performance_improvement": before / (before - gained),
        "implementation_complexity": _complexity(found, ours=device == "cpu"),
        "recommendations": [_advice(one) for one in opportunities],
        "provenance": {
            "memory_savings_factor": "modelled: bytes that each operation must read and write",
            "performance_improvement": how,
            "implementation_complexity": "assumed: low where ops.linear does it (on the CPU), medium for "
            "elementwise passes, high with a reduction",
        },
    }


def _opportunity(group: fusion.Group, modelled: Seconds) -> dict[str, Any]:
    apart, fused = modelled(group)
    return {
        "operations": list(group.names),
        "position": group.position,
        "bytes_apart": sum(cost.bytes for cost in group.apart),
        "bytes_fused": group.together.bytes,
        "savings_factor": group.savings,
        "call": group.call,
        "modelled_seconds": {"apart": apart, "fused": fused},
        "measured": None,
        "speedup": apart / fused,
        "speedup_provenance": "modelled",
    }


def _measured(
    one: dict[str, Any], group: fusion.Group, shape: Shape, dtype: DType, roofline: Roofline, seconds: float
) -> dict[str, Any]:
    """Put what was measured in the place of what was modelled, where our kernels can do both."""
    timed = fusion.measure(group, shape, dtype, seconds)
    if timed is None:
        return one
    verdict = timed.verdict("fused", "apart")
    apart, done = one["modelled_seconds"]["apart"], len(group.fused_apart)
    part = fusion.modelled_seconds(group.fused_apart, roofline)
    return one | {
        "measured": {
            "operations": list(group.names[:done]),
            "apart_us": timed["apart"].median * 1e6,
            "fused_us": timed["fused"].median * 1e6,
            "speedup": 1 / verdict.ratio,
            "verdict": str(verdict),
        },
        # What was measured counts for the operations that it is of; the others are left as they are.
        "speedup": apart / (apart - part * (1 - verdict.ratio)),
        "speedup_provenance": "measured"
        if done == len(group.names)
        else f"measured for {done} of {len(group.names)}",
    }


def _complexity(found: Sequence[fusion.Group], ours: bool) -> str:
    levels = {"none": 0, "low": 1, "medium": 2, "high": 3}
    worst = "none"
    for group in found:
        taken = fusion.fused_part(group.names)[2] if ours else 1
        kinds = {fusion.STEPS[name].kind for name in group.names[taken:]}
        level = "high" if "reduction" in kinds else "medium" if kinds else "low"
        worst = max(worst, level, key=lambda name: levels[name])
    return worst


def _advice(one: dict[str, Any]) -> str:
    names = " + ".join(one["operations"])
    saved = one["bytes_apart"] - one["bytes_fused"]
    text = f"{names}: {units.size(saved)} of {units.size(one['bytes_apart'])} need not move"
    if one["measured"]:
        done = " + ".join(one["measured"]["operations"])
        speed = one["measured"]["speedup"]
        worth = "fuse" if speed > 1 else "fusing does not pay here:"
        return f"{worth} {text}; {one['call']} does {done}, measured {speed:.2f} times as fast"
    return f"fuse {text}; modelled {one['speedup']:.2f} times as fast, in a pass to be written"
