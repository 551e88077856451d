"""Whether two results are the same: nothing is timed that computes something else."""

import sys
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

#: Relative to the largest value, in steps of the coarser dtype: sums of some thousands, in any order. Of 16
#: bits and less that would be anything: no more than the square root of a step.
STEPS = 1000


def difference(result: Any, expected: Any, tolerance: float | None = None) -> str | None:
    """Say how `result` differs from `expected`, or None if it does not.

    Numbers and arrays may differ by `tolerance` of the largest expected value, by default 1000 times the
    dtype's epsilon or its square root; integers not at all. Lists, tuples and mappings are compared part by
    part, anything else by `==`.

    >>> difference([1.0, 2.0], [1.0, 2.5])
    'part 1: 2.0 instead of 2.5, more than 2.22e-13 of the largest value apart'
    """
    try:
        return _difference(result, expected, tolerance)
    except RecursionError:
        return "nested too deeply to be compared"


def _difference(result: Any, expected: Any, tolerance: float | None) -> str | None:
    if isinstance(expected, Mapping) and isinstance(result, Mapping):
        if set(result) != set(expected):
            return f"keys {sorted(map(str, result))} instead of {sorted(map(str, expected))}"
        return _first((f"{key}", result[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, list | tuple) and isinstance(result, list | tuple):
        if len(result) != len(expected):
            return f"{len(result)} parts instead of {len(expected)}"
        parts = zip(result, expected, strict=True)
        return _first((f"part {i}", a, b, tolerance) for i, (a, b) in enumerate(parts))
    arrays = _array(result), _array(expected)
    if arrays[0] is not None and arrays[1] is not None:
        return _arrays(*arrays, tolerance)
    try:
        same = result == expected
        same = bool(np.all(same)) if hasattr(same, "__array__") else bool(same)
    except (TypeError, ValueError):
        same = False
    return None if same else f"{result!r:.80} instead of {expected!r:.80}"


def _first(parts: Any) -> str | None:
    for place, *rest in parts:
        wrong = _difference(*rest)
        if wrong:
            return f"{place}: {wrong}"
    return None


def _array(value: Any) -> Any:
    """Return numbers as an array, None for what is none."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = _from_torch(value.detach().cpu(), torch)
    elif hasattr(value, "get") and hasattr(value, "__cuda_array_interface__"):
        value = value.get()
    elif isinstance(value, list | tuple) or not (
        isinstance(value, int | float | complex) or hasattr(value, "__array__")
    ):
        return None
    array = np.asanyarray(value)
    return array if array.dtype.kind in "fcbiu" or _of_ml_dtypes(array.dtype) else None


def _from_torch(tensor: Any, torch: Any) -> Any:
    """Return a tensor of a layout and dtype that NumPy knows."""
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg()
    if tensor.is_complex():
        return tensor.to(torch.complex128).numpy()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor.numpy()


def _arrays(result: np.ndarray, expected: np.ndarray, tolerance: float | None) -> str | None:
    if result.shape != expected.shape:
        return f"shape {result.shape} instead of {expected.shape}"
    if expected.size == 0:
        return None
    masks = [np.ma.getmaskarray(x) for x in (result, expected)]
    if not np.array_equal(masks[0], masks[1]):
        return "another mask"
    hidden = masks[0]
    result, expected = np.asarray(result), np.asarray(expected)
    exact = tolerance is None and all(_epsilon(x.dtype) == 0 for x in (result, expected))
    if tolerance is None:
        step = max(_epsilon(result.dtype), _epsilon(expected.dtype))
        tolerance = min(STEPS * step, step**0.5)
    if exact:
        same = np.equal(result, expected) | hidden
    else:
        a, b = (_parts(x) for x in (result, expected))
        shown = np.isfinite(b) & ~hidden[..., None]
        largest = float(np.max(np.abs(b), initial=0.0, where=shown))
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= tolerance * largest)
            same = np.all((a == b) | (np.isnan(a) & np.isnan(b)) | near, axis=-1) | hidden
    if np.all(same):
        return None
    worst = np.unravel_index(int(np.argmin(same)), same.shape)
    place = f" at {tuple(map(int, worst))}" if same.ndim else ""
    apart = "" if exact else f", more than {tolerance:.3g} of the largest value apart"
    return f"{result[worst]} instead of {expected[worst]}{place}{apart}"


def _parts(array: np.ndarray) -> np.ndarray:
    """Return numbers in float64, with an axis more: both parts of complex ones, whose size may overflow."""
    if array.dtype.kind == "c":
        return np.stack((array.real, array.imag), axis=-1).astype(np.float64)
    return array.astype(np.float64)[..., None]


def _of_ml_dtypes(dtype: np.dtype) -> bool:
    return dtype.name in ml_dtypes.__all__


def _epsilon(dtype: np.dtype) -> float:
    """Return the step of a dtype at 1; of integers none."""
    if _of_ml_dtypes(dtype):
        return 0.0 if "int" in dtype.name else float(ml_dtypes.finfo(dtype).eps)
    return float(np.finfo(dtype).eps) if dtype.kind in "fc" else 0.0
