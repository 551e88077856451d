"""The text of `KernelOptimizationProfiler.generate_optimization_report`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinytorch.runtime import units


def render(
    title: str, hardware: Mapping[str, Any], results: Mapping[str, Any], recommendations: Sequence[str]
) -> str:
    """Return the report: the machine, a section for each analysis, recommendations."""
    lines = [title, "=" * len(title), "", *_section("Hardware", _hardware(hardware))]
    for key, result in results.items():
        heading, tell = SECTIONS[key]
        lines += _section(heading, tell(result))
    told = [f"{i}. {text}" for i, text in enumerate(recommendations, 1)]
    lines += _section("Recommendations", told or ["None: no analysis was run that asks for any."])
    return "\n".join(lines).rstrip() + "\n"


def _section(heading: str, lines: Sequence[str]) -> list[str]:
    return [heading, "-" * len(heading), *lines, ""]


def _hardware(config: Mapping[str, Any]) -> list[str]:
    sizes = config.get("cache_sizes") or {}
    caches = ", ".join(f"{k.upper()} {units.size(v) if v else 'unknown'}" for k, v in sizes.items())
    memory = config.get("memory_gb")
    gpu = config.get("gpu_name") or ("yes" if config.get("gpu_available") else "none")
    return [
        f"CPU: {config.get('cpu') or 'unknown'}, {config.get('cpu_cores')} usable",
        f"Caches: {caches or 'unknown'}",
        f"Memory: {'unknown' if memory is None else f'{memory:.1f} GiB'}",
        f"GPU: {gpu}",
    ]


def _performance(result: Mapping[str, Any]) -> list[str]:
    used = result["compute_utilization"]
    compute = "unknown" if used is None else units.share(used)
    name = result["profile"]["name"] if result["profile"] else "kernel"
    return [
        f"{name} on {result['device']}: {result['avg_execution_time_us']:.3g} us on average",
        f"Bandwidth: {result['memory_bandwidth_gb_s']:.3g} GB/s, "
        f"{units.share(result['bandwidth_efficiency'])} of {result['theoretical_peak_bandwidth']:.3g}",
        f"Compute: {compute} of the peak",
        f"Bound by {result['bottleneck_analysis']}.",
    ]


def _fusion(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Sequence: {' -> '.join(result['operation_sequence'])}, (M, K, N) = {tuple(result['shape'])}, "
        f"{result['dtype']} on {result['device']}",
        f"Bytes: {result['memory_savings_factor']:.2f} times fewer when fused",
        f"Time: {result['performance_improvement']:.2f} times as fast "
        f"({result['provenance']['performance_improvement']})",
        f"To write: complexity {result['implementation_complexity']}",
    ]
    for one in result["fusion_opportunities"]:
        how = (
            one["measured"]["verdict"] if one["measured"] else f"modelled {one['speedup']:.2f} times as fast"
        )
        lines.append(
            f"- {' + '.join(one['operations'])}: {one['savings_factor']:.2f} times fewer bytes; {how}"
        )
    return lines


def _coalescing(result: Mapping[str, Any]) -> list[str]:
    shape = "" if result["data_shape"] is None else f" over {' x '.join(map(str, result['data_shape']))}"
    kind = "" if result["dtype"] is None else f" of {result['dtype']}"
    return [
        f"{result['access_pattern']}{shape}{kind}: {result['memory_transactions']:,} sectors of 32 bytes",
        f"A request: {result['sectors_per_request']:.3g} sectors, "
        f"{result['ideal_sectors_per_request']:.3g} would do",
        f"Efficiency: {units.share(result['coalescing_efficiency'])}; up to "
        f"{result['optimization_potential']:.3g} times fewer bytes",
        *_lines(result["accesses"], "sectors"),
        _origin(result, "coalescing_efficiency"),
    ]


def _lines(accesses: Sequence[Mapping[str, Any]], unit: str) -> list[str]:
    """Tell of a kernel's accesses that cost more than they need."""
    cost, ideal = f"{unit}_per_request", f"ideal_{unit}_per_request"
    return [
        f"- line {one['line']}: {', '.join(one['arrays']) or 'memory'}, {one['kind']} of {one['bits']} bits: "
        f"{one[cost]:.3g} {unit} a request, {one[ideal]:.3g} would do"
        for one in accesses
        if one[cost] > one[ideal]
    ]


def _origin(result: Mapping[str, Any], key: str) -> str:
    return f"From: {result['provenance'][key]}"


def _divergence(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Conditional: {result['conditional_operations']:,} of {result['total_operations']:,}, "
        f"{units.share(result['divergence_ratio'])}",
        f"Lanes active: {result['active_threads']:.3g} in an instruction; "
        f"{units.share(result['efficiency_loss'])} stand idle",
    ]
    if result["warp_efficiency_range"] is not None:
        worst, best = result["warp_efficiency_range"]
        lines.append(f"However lanes choose: {units.share(worst)} to {units.share(best)} are active")
    lines += [
        f"- line {one['line']}: {one['active_threads']:.3g} lanes active, {one['divergent_branches']:,} of "
        f"{one['branches']:,} branches part them"
        for one in result["lines"]
        if one["divergent_branches"]
    ]
    return [*lines, _origin(result, "warp_efficiency")]


def _shared(result: Mapping[str, Any]) -> list[str]:
    uses, gain = result["reuse_factor"], result["performance_gain"]
    fits = result["utilization_ratio"] <= 1
    staged = f"staged it is {'unknown' if gain is None else f'{gain:.3g}'} times as fast"
    return [
        f"A block: {units.size(result['data_size_bytes'])} of "
        f"{units.size(result['shared_memory_available'])} on {result['device']}, "
        f"{units.share(result['utilization_ratio'])}",
        f"A request: {result['wavefronts_per_request']:.3g} wavefronts, {result['bank_conflicts']:.3g} of "
        "them for bank conflicts",
        f"Each byte is used {'an unknown number of' if uses is None else f'{uses:.3g}'} times; "
        f"{staged if fits else 'it does not fit and cannot be launched'}",
        *_lines(result["accesses"], "wavefronts"),
        _origin(result, "bank_conflicts"),
    ]


def _tensor_core(result: Mapping[str, Any]) -> list[str]:
    told = "runs on tensor cores" if result["tensor_core_compatible"] else "does not run on tensor cores"
    by = f" by {result['instruction']}" if result["instruction"] else ""
    shape = f", (M, K, N) = {tuple(result['shape'])}" if result["shape"] else ""
    dtypes = f" of {', '.join(result['data_types'])}" if result["data_types"] else ""
    used, gain, most = (
        result[key] for key in ("actual_utilization", "performance_gain", "theoretical_speedup")
    )
    lines = [
        f"{result['operation_type']}{dtypes}{shape} {told}{by} of {result['device']}",
        f"Of their work {'an unknown share' if used is None else units.share(used)} is of use",
        f"Against fp32: {_times(gain)} as fast by the model, {_times(most)} at most",
    ]
    if result["registers"] is not None:
        spills = "spills" if result["spilled"] else "no spills"
        lines.append(f"Registers: {result['registers']} a thread, {spills}")
    return [*lines, _origin(result, "tensor_core_compatible")]


def _times(value: float | None) -> str:
    return "unknown times" if value is None else f"{value:.3g} times"


def _multi_gpu(result: Mapping[str, Any]) -> list[str]:
    efficiency = f"{result['mode']}_efficiency"
    return [
        f"{units.quantity(result['data_size'], 'B')} of gradients and "
        f"{units.quantity(result['flops'], 'FLOP')} in {result['dtype']} a step, "
        f"{result['num_gpus']:,} x {result['device']}, {result['mode']} scaling",
        f"Speed: {result['compute_scaling']:.3g} times one GPU's, efficiency "
        f"{units.share(result['scaling_efficiency'])}",
        f"Step: {units.quantity(result['step_seconds'], 's')}, "
        f"{units.share(result['communication_overhead'])} of it waits for communication; bound by "
        f"{result['bottleneck_type']}",
        "Efficiency by GPUs: "
        + ", ".join(f"{one['gpus']:,}: {one[efficiency]:.0%}" for one in result["curve"]),
        _origin(result, "compute_scaling"),
    ]


#: Heading and lines of each analysis, by where its result is kept.
SECTIONS: dict[str, tuple[str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "cuda_analysis": ("Kernel performance", _performance),
    "memory_coalescing": ("Memory coalescing", _coalescing),
    "warp_divergence": ("Warp divergence", _divergence),
    "shared_memory": ("Shared memory", _shared),
    "tensor_core": ("Tensor cores", _tensor_core),
    "kernel_fusion": ("Kernel fusion", _fusion),
    "multi_gpu": ("Several GPUs", _multi_gpu),
}
