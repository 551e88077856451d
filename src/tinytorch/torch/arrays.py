"""Between arrays and tensors that share their memory, of dtypes that both libraries have."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from tinytorch.runtime.arrays import BFLOAT16, Array, DType, contiguous

#: What torch keeps other dtypes as: it has unsigned integers of these sizes in name only.
_SIGNED: dict[DType, DType] = {
    np.dtype(np.uint16): np.dtype(np.int16),
    np.dtype(np.uint32): np.dtype(np.int32),
}


def to_tensor(array: Array) -> Tensor:
    """Return an array as a tensor of the same memory, unsigned integers as the signed ones of their bits."""
    if array.dtype == BFLOAT16:
        return to_tensor(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype in _SIGNED:
        array = array.view(_SIGNED[array.dtype])
    return torch.from_numpy(array if array.flags.writeable else contiguous(array, array.dtype))


def to_array(tensor: Tensor) -> Array:
    """Return a tensor's memory as an array."""
    if tensor.requires_grad or tensor.is_neg():
        tensor = tensor.detach().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Return tensors as arrays, by the same names."""
    return {name: to_array(tensor) for name, tensor in tensors.items()}
