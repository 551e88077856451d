"""What the analyses of `KernelOptimizationProfiler` return: plain dicts with these keys."""

from typing import Any, TypedDict


class PerformanceAnalysis(TypedDict):
    """A kernel as it ran. Times in microseconds, bandwidths in GB/s, shares from 0 to 1."""

    device: str
    avg_execution_time_us: float
    median_execution_time_us: float
    memory_bandwidth_gb_s: float
    compute_utilization: float | None  # None where its operations are not known
    theoretical_peak_bandwidth: float
    bandwidth_efficiency: float
    bottleneck_analysis: str
    bound: str
    recommendations: list[str]
    profile: dict[str, Any] | None
    provenance: dict[str, str]


class FusionAnalysis(TypedDict):
    """What one pass over the data would save of a sequence of operations."""

    device: str  # "cpu", or the GPU that it is modelled for
    operation_sequence: list[str]
    shape: list[int]
    dtype: str
    fusion_opportunities: list[dict[str, Any]]
    memory_savings_factor: float  # bytes apart by bytes fused, of the whole sequence
    performance_improvement: float  # time apart by time fused, of the whole sequence
    implementation_complexity: str  # "none", "low", "medium" or "high"
    recommendations: list[str]
    provenance: dict[str, str]


class CoalescingAnalysis(TypedDict):
    """Requests of warps to global memory, before any cache. A sector is 32 bytes, a line 128.

    Of a real kernel all its loads, stores, atomics and bulk copies count together, and `accesses` tells
    each; where lanes read the same bytes, what would do is never more than what was touched.
    """

    access_pattern: str  # or the kernel's name
    data_shape: list[int] | None  # of a kernel as it was given, if it was
    dtype: str | None
    stride: int | None  # in elements, of the pattern "strided"
    device: str
    coalescing_efficiency: float  # sectors that would do by those touched, 0 to 1
    memory_transactions: int  # sectors touched by all requests
    ideal_transactions: int  # sectors that would do, request by request
    sectors_per_request: float
    ideal_sectors_per_request: float
    lines_per_request: float | None
    requests: int
    optimization_potential: float  # sectors touched by those that would do: the factor of bytes to be saved
    accesses: list[dict[str, Any]]  # of a kernel, by source line and array
    recommendations: list[str]
    provenance: dict[str, str]


class DivergenceAnalysis(TypedDict):
    """Lanes that stand idle. Shares from 0 to 1.

    Of a real kernel the operations are its branches: `total_operations` those that warps executed,
    `conditional_operations` those at which lanes parted.
    """

    conditional_operations: float
    total_operations: float
    divergence_ratio: float  # the one by the other
    efficiency_loss: float  # 1 - warp_efficiency
    warp_efficiency: float  # active lanes by all, mean over the instructions issued
    warp_efficiency_range: list[float] | None  # worst and best, however lanes choose; None of a kernel
    active_threads: float  # lanes active in an instruction, on average
    chance_of_divergence: float  # that lanes of a warp part at a branch
    optimization_suggestions: list[str]
    lines: list[dict[str, Any]]  # of a kernel, where lanes part or idle
    recommendations: list[str]
    provenance: dict[str, str]


class SharedMemoryAnalysis(TypedDict):
    """Shared memory of a block: sizes in bytes, wavefronts as its banks answer a request of a warp."""

    data_size_bytes: int  # of a block
    shared_memory_available: int  # the most that a block may have on the device
    utilization_ratio: float  # the one by the other; above 1 it does not fit
    reuse_factor: float | None  # bytes read from it by bytes written; None if not all are counted
    bank_conflicts: float  # wavefronts of a request beyond those without conflicts, on average
    wavefronts_per_request: float
    ideal_wavefronts_per_request: float
    blocks_per_sm: int  # that an SM holds of this size, of a kernel of all it takes; 0: cannot be launched
    performance_gain: float | None  # time without it by that with it; 1: does not fit; None: not known
    performance_gain_without_conflicts: float | None
    device: str
    optimization_opportunities: list[str]
    accesses: list[dict[str, Any]]  # of a kernel, by source line and array
    recommendations: list[str]
    provenance: dict[str, str]


class TensorCoreAnalysis(TypedDict):
    """Whether a product runs on tensor cores, and what that is worth. Shares from 0 to 1."""

    operation_type: str
    data_types: list[str]
    shape: list[int] | None  # (M, K, N); None of a kernel
    tile: list[int] | None  # rows and columns of the output that a block computes
    device: str
    tensor_core_compatible: bool  # dtypes and compute capability allow it; a kernel: it uses them
    aligned: bool | None  # rows begin at multiples of 16 bytes: otherwise they are loaded more slowly
    instruction: str | None  # "mma.sync", "wgmma", "tcgen05.mma"; None without tensor cores
    theoretical_speedup: float | None  # peak of tensor cores by that of fp32; 1 without; None: not known
    actual_utilization: float | None  # share of the tensor cores' work that is of use; 0 without
    tile_efficiency: float | None
    wave_efficiency: float | None
    performance_gain: float | None  # least time in fp32 by that on tensor cores, memory counted; 1 without
    registers: int | None  # of a thread, of a kernel
    spilled: bool | None  # whether a kernel spills registers
    instructions: dict[str, int]  # of a kernel: matrix instructions in its machine code
    optimization_requirements: list[str]
    recommendations: list[str]
    provenance: dict[str, str]


class ScalingAnalysis(TypedDict):
    """A data-parallel training step on several GPUs. Seconds; shares from 0 to 1."""

    data_size: float  # bytes that are added up in a step: the gradients
    num_gpus: int
    flops: float  # operations of a step on one GPU
    dtype: str
    device: str
    mode: str  # "strong": the GPUs divide a step; "weak": each does one
    communication_overhead: float  # the share of the step that waits for communication
    compute_scaling: float  # samples a second by those of one GPU
    scaling_efficiency: float  # that by the number of GPUs
    step_seconds: float
    compute_seconds: float
    communication_seconds: float  # in all, hidden behind computing or not
    bottleneck_type: (
        str  # "compute", or "link bandwidth", "link latency", "network bandwidth", "network latency"
    )
    optimization_strategies: list[str]
    curve: list[dict[str, float]]  # 1 to 1,024 GPUs: speed and efficiency, strong and weak
    recommendations: list[str]
    provenance: dict[str, str]
