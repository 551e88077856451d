"""`KernelOptimizationProfiler`: what bounds a kernel, what fusing would save, and a report of it all."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from tinytorch.gpu.models.patterns import PATTERNS
from tinytorch.gpu.models.scaling import OVERLAP, UTILIZATION, Mode
from tinytorch.machine.info import describe
from tinytorch.measure.limits import Limits, limits
from tinytorch.measure.roofline import Roofline
from tinytorch.profiler import (
    coalescing,
    cpu,
    divergence,
    fusion_analysis,
    gpu,
    multi_gpu,
    shared_memory,
    tensor_core,
)
from tinytorch.profiler.device import Device, choose
from tinytorch.profiler.hardware import detect
from tinytorch.profiler.kernel import Launch, analyzed, either
from tinytorch.profiler.results import (
    CoalescingAnalysis,
    DivergenceAnalysis,
    FusionAnalysis,
    PerformanceAnalysis,
    ScalingAnalysis,
    SharedMemoryAnalysis,
    TensorCoreAnalysis,
)
from tinytorch.runtime.cost import Cost

TITLE = "Kernel Optimization Analysis Report"
#: (M, K, N) of products in a sequence whose shapes are not given: a layer of a small model.
_SHAPE = (128, 512, 512)


class KernelOptimizationProfiler:
    """Analyses of kernels on this machine; what each found is kept until the next of its kind.

    `hardware_config` overrides what is detected of the machine. `profile_results` holds the last result of
    each analysis, `optimization_recommendations` what follows from them.

    >>> KernelOptimizationProfiler({"cpu_cores": 8}).hardware_config["cpu_cores"]
    8
    """

    def __init__(self, hardware_config: Mapping[str, Any] | None = None) -> None:
        self._machine = describe()
        self._detected = detect(self._machine)
        self._given = frozenset(hardware_config or ())
        self.hardware_config: dict[str, Any] = {**self._detected, **(hardware_config or {})}
        self.profile_results: dict[str, Any] = {}
        self._limits: Limits | None = None

    @property
    def optimization_recommendations(self) -> list[str]:
        """What would help, drawn from every analysis that was run."""
        found = [text for result in self.profile_results.values() for text in result["recommendations"]]
        return list(dict.fromkeys(found))

    def analyze_cuda_kernel_performance(
        self,
        kernel_func: Callable[..., Any],
        input_data: Any,
        iterations: int = 100,
        *,
        cost: Cost | None = None,
        dtype: Any = None,
    ) -> PerformanceAnalysis:
        """Time a callable on its input, and say what bounds it; on the CPU unless its arrays lie on a GPU.

        `input_data` is one argument, or a tuple of arguments. `iterations` is how many samples are taken, of
        one call or of as many as take 4 ms. `cost` says what a call does where counting cannot know.

        What the callable raises is raised. Raises ValueError for fewer than 3 iterations.

        >>> import numpy as np
        >>> found = KernelOptimizationProfiler().analyze_cuda_kernel_performance(np.tanh, np.ones(100), 3)
        >>> found["device"], found["avg_execution_time_us"] > 0
        ('cpu', True)
        """
        args = input_data if isinstance(input_data, tuple) else (input_data,)
        if iterations < 3:
            raise ValueError(f"iterations must be at least 3, not {iterations}")
        if gpu.on_gpu(args):
            result = gpu.analyze(self._machine, kernel_func, args, iterations, cost, dtype)
        else:
            result = cpu.analyze(self._measured(), kernel_func, args, iterations, cost, dtype)
        self.profile_results["cuda_analysis"] = result
        return result

    def analyze_kernel_fusion_opportunities(
        self,
        operation_sequence: Sequence[str],
        *,
        shape: tuple[int, int, int] = _SHAPE,
        dtype: Any = "float32",
        seconds: float = 0.5,
        device: Any = None,
    ) -> FusionAnalysis:
        """Say which operations one pass could do, and what that saves.

        Products are of `shape` (M, K, N); what is elementwise is (M, N). Bytes are counted, and what
        `ops.linear` fuses is timed both ways, `seconds` for each; other times are modelled by the roofline.
        With a `device`, as "H100 SXM", times are modelled for that GPU, and nothing is timed.

        Raises ValueError for an operation that is not known, or a shape or dtype that cannot be.

        >>> found = KernelOptimizationProfiler().analyze_kernel_fusion_opportunities(["exp", "sum"])
        >>> found["fusion_opportunities"][0]["operations"]
        ['exp', 'sum']
        """
        names, kind = fusion_analysis.checked(operation_sequence, shape, dtype)
        if device is not None:
            result = fusion_analysis.on_gpu(names, shape, kind, self._device(device))
        else:
            roofline = Roofline.of(self._measured(), kind, self._measured().threads)
            result = fusion_analysis.on_cpu(names, shape, kind, roofline, seconds)
        self.profile_results["kernel_fusion"] = result
        return result

    def analyze_memory_coalescing(
        self,
        access_pattern: Any = None,
        data_shape: Sequence[int] | None = None,
        *,
        dtype: Any = "float32",
        stride: int = 2,
        seed: int = 0,
        device: Any = None,
        kernel: Any = None,
        **launch: Unpack[Launch],
    ) -> CoalescingAnalysis:
        """Say how many sectors of 32 bytes warps touch in global memory, and how many would do.

        `access_pattern` is "row_major", "column_major", "strided" (every `stride`-th element) or "random" (in
        an order drawn from `seed`): a thread takes one element of an array of `data_shape` in C order. A real
        kernel may stand in its place, or be given as `kernel`, with its `grid` and `args` (`Launch`).

        Raises ValueError for a pattern, shape or launch that cannot be.

        >>> found = KernelOptimizationProfiler().analyze_memory_coalescing("column_major", (1024, 1024))
        >>> found["coalescing_efficiency"], found["sectors_per_request"]
        (0.125, 32.0)
        """
        chosen = self._device(device)
        named = isinstance(access_pattern, str) and ("grid" not in launch or access_pattern in PATTERNS)
        if kernel is None and access_pattern is not None and not named:  # a kernel in a pattern's place
            either(access_pattern, launch)
            result = coalescing.of_kernel(analyzed(access_pattern, launch, chosen), data_shape)
        else:
            either(kernel, launch, access_pattern=access_pattern, data_shape=data_shape)
            if access_pattern is None or data_shape is None:
                result = coalescing.of_kernel(analyzed(kernel, launch, chosen))
            else:
                result = coalescing.of_pattern(chosen, access_pattern, data_shape, dtype, stride, seed)
        self.profile_results["memory_coalescing"] = result
        return result

    def analyze_warp_divergence(
        self,
        conditional_operations: float | None = None,
        total_operations: float | None = None,
        *,
        probabilities: Sequence[float] | None = None,
        device: Any = None,
        kernel: Any = None,
        **launch: Unpack[Launch],
    ) -> DivergenceAnalysis:
        """Say what share of the lanes stands idle as lanes of a warp go different ways.

        So many operations of a thread are on the sides of branches; a lane takes each side with the chance
        that `probabilities` says, by default (0.5, 0.5), whatever the others do. Or `kernel`, with its
        `grid` and `args` (`Launch`): then it is what its warps did.

        Raises ValueError for counts, probabilities or a launch that cannot be.

        >>> found = KernelOptimizationProfiler().analyze_warp_divergence(100, 1000, probabilities=[0.01])
        >>> found["divergence_ratio"], round(found["warp_efficiency"], 3), round(found["active_threads"], 1)
        (0.1, 0.971, 31.1)
        """
        either(
            kernel,
            launch,
            conditional_operations=conditional_operations,
            total_operations=total_operations,
        )
        chosen = self._device(device)
        if conditional_operations is None or total_operations is None:
            result = divergence.of_kernel(analyzed(kernel, launch, chosen))
        else:
            result = divergence.of_operations(chosen, conditional_operations, total_operations, probabilities)
        self.profile_results["warp_divergence"] = result
        return result

    def analyze_shared_memory_usage(
        self,
        kernel_data_size: int | None = None,
        reuse_factor: float | None = None,
        *,
        pattern: str = "strided",
        stride: int | None = None,
        width: int = 4,
        columns: int = 32,
        padding: int = 0,
        device: Any = None,
        kernel: Any = None,
        **launch: Unpack[Launch],
    ) -> SharedMemoryAnalysis:
        """Say what a block's data takes of shared memory, how the banks answer, and what staging it gains.

        `kernel_data_size` is in bytes for each block, `reuse_factor` how often each byte is read from there.
        Lanes read `width` bytes each, `stride` words of 4 bytes apart (by default side by side), or, with the
        pattern "columns", down a column of a tile s[32][columns + padding]. Or `kernel`, with its `grid` and
        `args` (`Launch`).

        Raises ValueError for a size, pattern or launch that cannot be.

        >>> analyze = KernelOptimizationProfiler().analyze_shared_memory_usage
        >>> [analyze(4096, 8, pattern="columns", padding=words)["bank_conflicts"] for words in (0, 1)]
        [31.0, 0.0]
        """
        either(kernel, launch, kernel_data_size=kernel_data_size, reuse_factor=reuse_factor)
        chosen = self._device(device)
        if kernel_data_size is None or reuse_factor is None:
            result = shared_memory.of_kernel(analyzed(kernel, launch, chosen))
        else:
            result = shared_memory.of_pattern(
                chosen,
                kernel_data_size,
                reuse_factor,
                pattern=pattern,
                stride=stride,
                width=width,
                columns=columns,
                padding=padding,
            )
        self.profile_results["shared_memory"] = result
        return result

    def analyze_tensor_core_utilization(
        self,
        operation_type: str | None = None,
        data_types: Any = None,
        *,
        shape: Sequence[int] | None = None,
        tile: Sequence[int] = tensor_core.TILE,
        blocks_per_sm: int = 1,
        device: Any = None,
        kernel: Any = None,
        **launch: Unpack[Launch],
    ) -> TensorCoreAnalysis:
        """Say whether a product runs on tensor cores, what that can gain, and how much of it is of use.

        `data_types` is the dtype of the operands, or a list: of both operands, and of the sums where that
        differs. The product is of `shape` (M, K, N), by default 4096 each; a block computes a `tile` of rows
        and columns, and an SM runs so many at once. Or `kernel`, with its `grid` and `args` (`Launch`): then
        its machine code says it.

        Raises ValueError for an operation, dtype, shape or launch that cannot be.

        >>> profiler = KernelOptimizationProfiler()
        >>> found = profiler.analyze_tensor_core_utilization("matmul", ["float16"], device="A100")
        >>> found["tensor_core_compatible"], found["theoretical_speedup"], found["actual_utilization"]
        (True, 16.0, 0.9481481481481482)
        """
        either(kernel, launch, operation_type=operation_type, data_types=data_types)
        chosen = self._device(device)
        if operation_type is None:
            result = tensor_core.of_kernel(analyzed(kernel, launch, chosen), shape)
        else:
            result = tensor_core.of_product(
                chosen,
                operation_type,
                data_types,
                shape=tensor_core.SHAPE if shape is None else shape,
                tile=tile,
                blocks_per_sm=blocks_per_sm,
            )
        self.profile_results["tensor_core"] = result
        return result

    def analyze_multi_gpu_scaling(
        self,
        data_size: float,
        num_gpus: int,
        *,
        flops: float | None = None,
        dtype: Any = None,
        mode: Mode = "strong",
        interconnect: Any = None,
        network: float | None = None,
        gpus_per_node: int = 8,
        utilization: float = UTILIZATION,
        overlap: float = OVERLAP,
        device: Any = None,
    ) -> ScalingAnalysis:
        """Say how a training step that adds up `data_size` bytes of gradients scales to `num_gpus` GPUs.

        `flops` are the operations of a step on one GPU, by default those of a model with such gradients on a
        million tokens. `interconnect` is a link by its name ("NVLink 4"), its bytes a second in one
        direction, or a `tinytorch.gpu.models.scaling.Interconnect`; `network` the bytes a second of each GPU
        between nodes. `utilization` is the share of the peak that computing reaches, `overlap` the share of
        it behind which gradients can travel.

        Raises ValueError for what cannot be.

        >>> profiler = KernelOptimizationProfiler()
        >>> found = profiler.analyze_multi_gpu_scaling(14e9, 1024, device="H100 SXM")
        >>> round(found["scaling_efficiency"], 2), found["bottleneck_type"]
        (0.61, 'compute')
        """
        result = multi_gpu.of_step(
            self._device(device),
            data_size,
            num_gpus,
            flops=flops,
            dtype=dtype,
            mode=mode,
            interconnect=interconnect,
            network=network,
            gpus_per_node=gpus_per_node,
            utilization=utilization,
            overlap=overlap,
        )
        self.profile_results["multi_gpu"] = result
        return result

    def generate_optimization_report(self) -> str:
        """Return a text with a section for each analysis that was run, and what follows from them.

        >>> KernelOptimizationProfiler().generate_optimization_report().splitlines()[0]
        'Kernel Optimization Analysis Report'
        """
        from tinytorch.profiler.analysis_report import render

        return render(TITLE, self.hardware_config, self.profile_results, self.optimization_recommendations)

    def _measured(self) -> Limits:
        if self._limits is None:
            self._limits = limits()
        return self._limits

    def _device(self, given: Any) -> Device:
        """Return the GPU that is analysed for: the one given, else as the configuration says it."""
        overridden = {
            name: value
            for name, value in self.hardware_config.items()
            if name in self._given or self._detected.get(name) != value
        }
        return choose(given, overridden, self._machine.gpus)
