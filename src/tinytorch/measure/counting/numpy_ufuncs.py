"""What NumPy's ufuncs did, by their methods and the shapes of their operands."""

from typing import Any

import numpy as np

from tinytorch.measure.counting.count import DType
from tinytorch.measure.counting.memory import block_of
from tinytorch.measure.counting.numpy_work import Args, Kwargs, Work, made, size, touched

#: Products along the last axis of the first operand (NumPy's generalized ufuncs).
_PRODUCTS = ("matmul", "vecdot", "matvec", "vecmat")


def ufunc_work(ufunc: np.ufunc, method: str, inputs: Args, kwargs: Kwargs, result: Any) -> Work:
    """Return what a ufunc did when this method of it was called with these arguments."""
    if method == "at":
        return _at(*inputs)
    where = kwargs.get("where", True)
    masked = where is not True
    read = touched([inputs, where] if masked else inputs)
    results = result if isinstance(result, tuple) else (result,)
    written = made(results)
    dtype = _loop_dtype(ufunc, method, inputs, kwargs, results[0])
    if not isinstance(ufunc, np.ufunc):  # numba's, made of a user's function: what it computes is not known
        return Work(0, read, written, dtype, known=False)
    if ufunc.signature is not None:
        known = ufunc.__name__ in _PRODUCTS
        operations = 2 * _contracted(inputs[0], kwargs) * size(results[0]) if known else 0
        return Work(operations, read, written, dtype, known)
    if method in ("__call__", "outer"):
        operations = size(results[0])
        if masked:
            mask = np.broadcast_to(where, np.shape(results[0]))
            operations = int(np.count_nonzero(mask))
            written = min(written, operations * sum(np.asarray(r).itemsize for r in results))
        return Work(operations, read, written, dtype)
    n = size(inputs[0])
    if method == "reduce":
        if masked:
            n = int(np.count_nonzero(np.broadcast_to(where, np.shape(inputs[0]))))
        # A reduction under a mask starts from the identity, unless it is told from what.
        started = kwargs.get("initial", np._NoValue) not in (np._NoValue, None) or masked
        operations = n if started else n - size(result)
    elif method == "accumulate":
        extent = np.shape(inputs[0])[kwargs.get("axis", 0)]
        operations = n - n // extent if extent else 0
    else:
        operations = _reduceat(inputs, kwargs)
    return Work(max(0, operations), read, written, dtype)


def _at(target: Any, index: Any, *values: Any) -> Work:
    """`ufunc.at`: elements may be met more than once; those are read and written from memory once."""
    met = size(target[index])
    moved = min(block_of(target).bytes, met * target.itemsize)
    return Work(met, moved + touched([index, values]), moved, target.dtype)


def _reduceat(inputs: Args, kwargs: Kwargs) -> int:
    array, indices = np.asarray(inputs[0]), np.asarray(inputs[1])
    extent = array.shape[kwargs.get("axis", 0)]
    ends = np.append(indices[1:], extent)
    steps = np.where(ends > indices, ends - indices - 1, 0).sum()
    return int(steps) * (array.size // extent)


def _contracted(array: Any, kwargs: Kwargs) -> int:
    """Return the extent over which a product sums."""
    axis: Any = kwargs.get("axis", -1)
    if "axes" in kwargs:
        first = kwargs["axes"][0]
        axis = first if isinstance(first, int) else first[-1]
    return int(np.shape(array)[axis])


def _loop_dtype(ufunc: np.ufunc, method: str, inputs: Args, kwargs: Kwargs, result: Any) -> DType:
    """Return the dtype that was computed in, which is that of the operands where the result is a bool."""
    whole = np.asarray(result).dtype
    if method not in ("__call__", "outer") or not hasattr(ufunc, "resolve_dtypes"):
        return np.asarray(inputs[0]).dtype if whole == np.bool_ else whole
    types = [type(v) if type(v) in (int, float, complex) else np.asarray(v).dtype for v in inputs]
    asked = {"signature": kwargs["signature"]} if kwargs.get("signature") else {}
    if kwargs.get("dtype") is not None:
        asked["signature"] = (None,) * ufunc.nin + (np.dtype(kwargs["dtype"]),) * ufunc.nout
    try:
        found = ufunc.resolve_dtypes((*types, *(None,) * ufunc.nout), **asked)
    except (TypeError, RuntimeError):  # dtypes made by others may not resolve without values
        return whole
    return found[0] if found[ufunc.nin] == np.bool_ else found[ufunc.nin]
