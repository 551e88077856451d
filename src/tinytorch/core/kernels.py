"""The kernels under their course names: each takes tensors or arrays and returns a `Tensor`.

This file only names things. What stands behind each name, and the slower rungs below it, is in `ops/`.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from tinytorch.core.tensor import Tensor
from tinytorch.ops.conv2d import conv2d
from tinytorch.ops.elementwise import operations_arrays, relu_array
from tinytorch.ops.matmul import blocked, numpy_product
from tinytorch.ops.product import product
from tinytorch.ops.quantize import QuantizationWarning, warn
from tinytorch.ops.quantized import quantized_product, quantized_relu_array
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.arrays import read
from tinytorch.runtime.batch import BatchItemError, run_batch
from tinytorch.runtime.threads import get_num_threads
from tinytorch.runtime.workspace import exported_in

if TYPE_CHECKING:
    from tinytorch.profiler.optimization import KernelOptimizationProfiler

__all__ = [
    "BatchItemError",
    "KernelOptimizationProfiler",
    "QuantizationWarning",
    "cache_friendly_matmul",
    "cached_conv2d",
    "matmul_baseline",
    "parallel_batch_processing",
    "parallel_relu",
    "quantized_matmul",
    "quantized_relu",
    "time_kernel",
    "vectorized_matmul",
    "vectorized_operations",
    "vectorized_relu",
]


def __getattr__(name: str) -> Any:
    """Import the profiler when it is asked for: kernels need nothing of it, and it takes as long as NumPy."""
    if name == "KernelOptimizationProfiler":
        from tinytorch.profiler.optimization import KernelOptimizationProfiler

        return KernelOptimizationProfiler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def time_kernel(func: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    """Call `func` once; return (its result, the microseconds it took by `perf_counter`).

    One call is no measurement: `tinytorch.measure.compare` repeats, interleaves and tells the spread.

    >>> result, microseconds = time_kernel(sum, [1, 2, 3])
    >>> result
    6
    """
    begin = time.perf_counter()
    result = func(*args, **kwargs)
    return result, (time.perf_counter() - begin) * 1e6


def matmul_baseline(A: Any, B: Any) -> Tensor:
    """Return A @ B by NumPy's product, which everything else is measured against.

    Raises ValueError naming both shapes if they do not fit, TypeError for a dtype that kernels do not take.

    >>> matmul_baseline([[1.0, 2.0]], [[3.0], [4.0]])
    Tensor([[11.]], dtype=float64)
    """
    return Tensor(numpy_product(read("A", A), read("B", B)))


def vectorized_matmul(A: Any, B: Any) -> Tensor:
    """Return A @ B by the library's fast product: (..., M, K) and (..., K, N) to (..., M, N).

    Raises ValueError naming both shapes if they do not fit, TypeError for a dtype that kernels do not take.

    >>> vectorized_matmul([[1.0, 2.0]], [[3.0], [4.0]])
    Tensor([[11.]], dtype=float64)
    """
    return Tensor(product(read("A", A), read("B", B)))


def cache_friendly_matmul(A: Any, B: Any, block_size: int = 32) -> Tensor:
    """Return A @ B by compiled loops over blocks of `block_size` in each dimension; one thread.

    Raises TypeError or ValueError unless `block_size` is an integer of at least 1.

    >>> cache_friendly_matmul([[1.0, 2.0]], [[3.0], [4.0]], block_size=16)
    Tensor([[11.]], dtype=float64)
    """
    block = integer("block_size", block_size, 1)
    return Tensor(blocked(read("A", A), read("B", B), block))


def vectorized_relu(x: Any) -> Tensor:
    """Return max(0, x), elementwise; NaN stays NaN. One thread.

    Raises TypeError for a dtype that kernels do not take.

    >>> vectorized_relu([-1.0, 2.0])
    Tensor([0., 2.], dtype=float64)
    """
    return Tensor(relu_array(read("x", x), threads=1))


def vectorized_operations(x: Any, y: Any) -> dict[str, Tensor]:
    """Return five results of two arrays of one shape, from one pass over them.

    Keys: `element_wise_multiply`, `element_wise_add`, `squared_difference` (of that shape) and
    `euclidean_distance`, `dot_product` (0-d). Raises ValueError naming both shapes if they differ.

    >>> vectorized_operations([1.0, 2.0], [3.0, 5.0])["dot_product"]
    Tensor(13., dtype=float64)
    """
    results = operations_arrays(read("x", x), read("y", y))
    return {name: Tensor(array) for name, array in results.items()}


def parallel_relu(x: Any, num_workers: int = 4) -> Tensor:
    """Return max(0, x) computed on up to `num_workers` threads, no more than `get_num_threads()`.

    Small inputs stay on one thread. Raises TypeError or ValueError unless `num_workers` is an integer of at
    least 1.

    >>> parallel_relu([-1.0, 2.0], num_workers=2)
    Tensor([0., 2.], dtype=float64)
    """
    threads = min(integer("num_workers", num_workers, 1), get_num_threads())
    return Tensor(relu_array(read("x", x), threads=threads))


def parallel_batch_processing(
    batch_data: Iterable[Any],
    operation: Callable[[Any], Any],
    num_workers: int = 4,
    executor: Executor | None = None,
) -> list[Any]:
    """Return [operation(item) for item in batch_data], in order, computed concurrently.

    `executor` is any `concurrent.futures.Executor` (a process pool, Dask's `client.get_executor()`,
    `mpi4py.futures`); without one, `num_workers` threads. If an item raises, `BatchItemError` tells its
    `index` with the original error as cause, and items not yet begun are cancelled.

    >>> parallel_batch_processing([[-1.0], [2.0]], vectorized_relu)
    [Tensor([0.], dtype=float64), Tensor([2.], dtype=float64)]
    """
    return run_batch(batch_data, operation, num_workers, executor)


def quantized_matmul(A: Any, B: Any, scale_A: float | None = 1.0, scale_B: float | None = 1.0) -> Tensor:
    """Return A @ B computed in int8 with int32 accumulation, rescaled by scale_A * scale_B.

    A and B are values, whatever their dtype: each becomes saturate(round_half_to_even(value / scale)). A
    scale of None is calibrated (max-abs / 127). Values that a given scale clips are told of in one
    QuantizationWarning. Returns float64 if an input is float64, else float32.

    Raises ValueError for a scale that is not finite and positive, NaN or inf, or shapes that do not fit.

    >>> quantized_matmul([[0.5, 1.0]], [[2.0], [4.0]], scale_A=0.5, scale_B=1.0)
    Tensor([[5.]], dtype=float64)
    """
    result, complaints = quantized_product(read("A", A), read("B", B), scale_A, scale_B)
    warn(*complaints)
    return Tensor(result)


def quantized_relu(x: Any, scale: float | None = 1.0) -> Tensor:
    """Return ReLU of x computed on its int8 codes, as floats; scale and warning as in `quantized_matmul`.

    Raises ValueError for a scale that is not finite and positive, NaN or inf.

    >>> quantized_relu([-1.0, 0.3, 0.5], scale=0.25)
    Tensor([0.  , 0.25, 0.5 ], dtype=float64)
    """
    result, complaint = quantized_relu_array(read("x", x), scale)
    warn(complaint)
    return Tensor(result)


def cached_conv2d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0) -> Tensor:
    """Return the cross-correlation of images (N, C, H, W) with weight (O, C, kh, kw), as PyTorch's conv2d.

    `stride` and `padding` are integers or (vertical, horizontal) pairs; `bias` has shape (O,). Raises
    ValueError naming the shapes if they do not fit.

    >>> import numpy as np
    >>> cached_conv2d(np.ones((1, 1, 4, 4)), np.ones((2, 1, 3, 3)), padding=1).shape
    (1, 2, 4, 4)
    """
    parts = read("x", x), read("weight", weight), None if bias is None else read("bias", bias)
    return Tensor(conv2d(*parts, stride, padding))


if (_workspace := exported_in()) is not None:  # a learner's: their functions take the place of these
    from tinytorch.course import mine

    globals().update(mine.overlay(_workspace, globals()))
