"""Arrays in and out: what a user may hand to a kernel, and what a compiled kernel may be handed.

A user's array comes in once, through `read`, whatever library it belongs to; `contiguous` makes of it what
compiled code wants; `like` hands the result back as the kind that was given. PyTorch is found through
`sys.modules`: if it was never imported, it cannot have made the argument.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from tinytorch.machine.quota import available_memory

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
DType: TypeAlias = np.dtype[Any]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
INT8, INT16, INT32, INT64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
UINT8, INT4 = np.dtype(np.uint8), np.dtype(ml_dtypes.int4)
FLOAT16, BFLOAT16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
HALVES = (FLOAT16, BFLOAT16)
FLOATS = (FLOAT32, FLOAT64, *HALVES)
INTEGERS = tuple(np.dtype(f"{kind}{size}") for kind in ("int", "uint") for size in (8, 16, 32, 64))
SUPPORTED = (*FLOATS, *INTEGERS)
_SUPPORTED = frozenset(SUPPORTED)
_COMPUTE: dict[DType, DType] = {
    **dict.fromkeys(INTEGERS, INT64),
    FLOAT32: FLOAT32,
    FLOAT64: FLOAT64,
    **dict.fromkeys(HALVES, FLOAT32),
}
_NAMES = "float16, bfloat16, float32, float64 or an integer type"
#: Below this many bytes the system is not asked how much memory it has (a microsecond or more).
_LARGE = 64 << 20
LINE = 64  # bytes that CPUs move and own together: two threads writing to one line take turns


_tensor: Any = None


def read(name: str, value: Any) -> Array:
    """Return `value` as a native-endian ndarray of a supported dtype, without a copy where that can be.

    Takes an ndarray, a `Tensor`, a CPU torch tensor, or anything with `__array__` or `__dlpack__`.
    Raises TypeError naming `name` and the dtype (or the device) that kernels do not take.
    """
    array = to_numpy(name, value)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype not in _SUPPORTED:
        if array.dtype == object and not isinstance(value, np.ndarray | list | tuple):
            raise TypeError(f"{name} is no array but of {type(value)}; kernels take dtypes {_NAMES}")
        raise TypeError(f"{name} has dtype {array.dtype}; kernels take {_NAMES}")
    return array


def to_numpy(name: str, value: Any) -> Array:
    """Return `value` as an ndarray of whatever dtype it has; raises as `read` does but for the dtype."""
    if _tensor is not None and isinstance(value, _tensor):
        value = value.data
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; kernels would ignore the mask: pass {name}.filled(value)")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_torch(name, value, torch)
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError) as error:
            raise TypeError(f"{name} cannot be read through DLPack: {error}") from None
    try:
        return np.asarray(value)
    except ValueError as error:  # a ragged list
        raise ValueError(f"{name} is no array: {error}") from None


def register_tensor(kind: type) -> type:
    """Make a class known whose `data` is the ndarray it wraps, and whose results are to be wrapped again."""
    global _tensor  # noqa: PLW0603
    _tensor = kind
    return kind


def kinds() -> tuple[type, ...]:
    """Return the classes of array that a kernel may write to: PyTorch's too if it is imported."""
    torch = sys.modules.get("torch")
    known = (np.ndarray, _tensor, None if torch is None else torch.Tensor)
    return tuple(kind for kind in known if kind is not None)


def _from_torch(name: str, value: Any, torch: Any) -> Array:
    if value.device.type != "cpu":
        raise TypeError(f"{name} is on {value.device}; kernels run on the CPU: pass {name}.cpu()")
    if value.layout != torch.strided:
        raise TypeError(
            f"{name} has layout {value.layout}; kernels take dense tensors: pass {name}.to_dense()"
        )
    if value.requires_grad and torch.is_grad_enabled():
        raise TypeError(f"{name} requires grad, and kernels record none: pass {name}.detach()")
    value = value.detach().resolve_conj().resolve_neg()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(BFLOAT16)
    return value.numpy()


def like(result: Array, *given: Any) -> Any:
    """Return `result` as the kind of array that was given: torch tensor, `Tensor` or ndarray."""
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(value, torch.Tensor) for value in given):
        if result.dtype == BFLOAT16:
            return torch.from_numpy(result.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(result)
    if _tensor is not None and any(isinstance(value, _tensor) for value in given):
        return _tensor(result)
    return result


def common_dtype(**arrays: Array | None) -> DType:
    """Return the dtype of the result, as `numpy.result_type` has it; TypeError if kernels do not take it."""
    return promote(**{name: array.dtype for name, array in arrays.items() if array is not None})


def promote(**dtypes: DType) -> DType:
    """Return what `numpy.result_type` gives; TypeError naming the dtypes if kernels do not take it."""
    kinds = tuple(dtypes.values())
    if kinds[1:] == kinds[:-1]:
        return kinds[0]
    try:
        result = np.result_type(*kinds)
    except TypeError:
        result = np.dtype(object)
    if result not in _SUPPORTED:
        given = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"no common dtype for {given}: convert one of them first")
    return result


def compute_dtype(result: DType) -> DType:
    """Return the dtype that a result is computed in: half types in float32, integers modulo 2**64.

    Sums and products modulo 2**64 are, cut to any narrower integer, what that type's own wrap-around
    arithmetic gives, so one int64 kernel is exact for all eight integer types.
    """
    return _COMPUTE[result]


def contiguous(array: Array, dtype: DType) -> Array:
    """Return `array` as compiled code takes it: C order, aligned, of `dtype`; copied only if it is not."""
    if array.dtype != dtype or not array.flags.c_contiguous or not array.flags.aligned:
        copy = empty(array.shape, dtype)
        copy[...] = array
        return copy
    if not array.flags.writeable:
        return np.asarray(_Writable(array)).view(dtype)
    return array


class _Writable:
    """A read-only array under a type that numba knows as the ordinary one. Kernels do not write inputs."""

    def __init__(self, array: Array) -> None:
        self._array = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def bits(array: Array) -> Array:
    """Return an array as compiled code takes it: half types as the 16 bits they are."""
    return array.view(np.uint16) if array.dtype in HALVES else array


def or_empty(array: Array | None, dtype: DType) -> Array:
    """Return an optional array as compiled code takes it: contiguous, an empty one for none."""
    return empty((0,), dtype) if array is None else contiguous(array, dtype)


def empty(shape: Sequence[int], dtype: DType) -> Array:
    """Allocate an array; MemoryError if the machine cannot hold it, before a byte is written."""
    _size(shape, dtype)
    return np.empty(shape, dtype)


def _size(shape: Sequence[int], dtype: DType) -> int:
    """Return the bytes of an array; MemoryError if the machine cannot hold it.

    Linux lends more memory than there is and kills the process that uses it, so large requests are held
    against what is available now.
    """
    if (size := math.prod(shape) * dtype.itemsize) >= _LARGE:
        available = available_memory()
        if size > available:
            raise MemoryError(
                f"an array of shape {tuple(shape)} and dtype {dtype} needs {size / 2**30:.1f} GiB; "
                f"{available / 2**30:.1f} GiB are available"
            )
    return size


def aligned(shape: Sequence[int], dtype: DType) -> Array:
    """Allocate an array at the beginning of a cache line; NumPy's large ones begin 16 bytes behind it.

    Vectors of 64 bytes would each lie across two lines, and take two loads: products of packed weights are 7
    to 14% faster at the beginning of one (Emerald Rapids, AVX-512). It is for memory of our own: a view of
    bytes is no array that a user may resize. Raises MemoryError as `empty` does.
    """
    raw = np.empty(_size(shape, dtype) + LINE, UINT8)
    return np.ndarray(shape, dtype, raw, -raw.ctypes.data % LINE)


def on_line(array: Array) -> Array:
    """Return `array` in C order from the beginning of a cache line; copied only if it is not."""
    if array.flags.c_contiguous and array.ctypes.data % LINE == 0:
        return array
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def convert(array: Array, dtype: DType) -> Array:
    """Return `array` in `dtype`, rounding to nearest; values past a half type's range become infinite."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        result = empty(array.shape, dtype)
        result[...] = array.view(np.uint64) if dtype == np.uint64 and array.dtype == INT64 else array
    return result
