"""The kernels as functions of arrays: what is given comes back in kind (ndarray, `Tensor`, torch tensor).

Operations have a file each (matmul, linear, conv2d, elementwise, quantize, quantized), and each is a ladder:
a readable reference first, then each faster rung, the one that ships last; `ops.registry` tells of all of
them. How a product is computed is in `plan`, `gemm`, `launch` and `product`, in `integer` and in `nibbles`.
"""

from tinytorch.ops.conv2d import conv2d
from tinytorch.ops.elementwise import relu
from tinytorch.ops.linear import linear, pack_weight
from tinytorch.ops.matmul import matmul
from tinytorch.ops.quantize import QuantizationWarning, dequantize, quantize
from tinytorch.ops.quantized import matmul_integer
from tinytorch.ops.weights.base import PackedWeight

__all__ = [
    "PackedWeight",
    "QuantizationWarning",
    "conv2d",
    "dequantize",
    "linear",
    "matmul",
    "matmul_integer",
    "pack_weight",
    "quantize",
    "relu",
]
