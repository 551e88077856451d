"""Arrays as kernels see them: memory with an element type, whichever library made it.

NumPy arrays and PyTorch tensors on the CPU are taken where they lie, without a copy, so that what a kernel
writes is seen in them. Element types that NumPy does not know are kept as integers of their size.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.gpu.launch import Argument
from tinytorch.runtime.errors import InputError


def is_array(value: Any) -> bool:
    """Say whether a value is passed by its address."""
    return isinstance(value, np.ndarray) or hasattr(value, "data_ptr")


def array(name: str, value: Any) -> Argument:
    """Return an array as an argument: a NumPy array, or a PyTorch tensor on the CPU.

    Raises InputError for what lies elsewhere, or has elements that no kernel can read.

    >>> array("x", np.arange(3, dtype=np.int32)).type
    'int32'
    """
    if isinstance(value, np.ndarray):
        return _numpy(name, value)
    if not hasattr(value, "detach") or value.device.type != "cpu":
        where = getattr(value, "device", type(value).__name__)
        raise InputError(f"{name} lies on {where}; give a NumPy array or a tensor on the CPU")
    return _tensor(name, value.detach())


def _numpy(name: str, value: Any) -> Argument:
    dtype = value.dtype
    if dtype.kind in "biufc" and dtype.isnative:
        return Argument(name, value)
    if dtype.name == "bfloat16" or dtype.name.startswith("float8_"):  # of ml_dtypes
        return Argument(name, value.view(f"u{dtype.itemsize}"), dtype.name)
    raise InputError(f"{name} is an array of {dtype}, which no kernel reads; give numbers")


def _tensor(name: str, tensor: Any) -> Argument:
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype == "bfloat16" or dtype.startswith("float8_"):
        whole = torch.uint16 if dtype == "bfloat16" else torch.uint8
        return Argument(name, tensor.view(whole).numpy(), dtype)
    try:
        return Argument(name, tensor.numpy())
    except (TypeError, RuntimeError) as error:  # sparse, quantized, conjugated
        raise InputError(f"{name}, a tensor of {dtype}, has no plain memory: {error}") from None


def memory(argument: Argument) -> npt.NDArray[Any]:
    """Return the array that `array` made an argument of."""
    assert isinstance(argument.value, np.ndarray)
    return argument.value
