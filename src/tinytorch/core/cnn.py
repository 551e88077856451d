"""The convolution layer."""

from typing import Any

import numpy as np

from tinytorch.core.tensor import Tensor
from tinytorch.ops.conv2d import conv2d
from tinytorch.runtime.arguments import integer, pair
from tinytorch.runtime.arrays import read


class Conv2D:
    """A 2-D convolution: `Conv2D(in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True)`.

    Images are (N, C, H, W), `weight` (O, C, kh, kw), `bias` (O,) or None, as PyTorch. Both begin uniform in
    +-1 / sqrt(C * kh * kw), PyTorch's default.

    Raises TypeError or ValueError for arguments that are not integers (or pairs) in range.

    >>> Conv2D(1, 8, 3, padding=1)(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 8, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        bias: bool = True,
    ) -> None:
        channels = integer("in_channels", in_channels, 1)
        outputs = integer("out_channels", out_channels, 1)
        size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)
        limit = 1 / np.sqrt(channels * size[0] * size[1])
        rng = np.random.default_rng()
        self.weight = Tensor(rng.uniform(-limit, limit, (outputs, channels, *size)).astype(np.float32))
        self.bias = Tensor(rng.uniform(-limit, limit, outputs).astype(np.float32)) if bias else None

    def __call__(self, x: Any) -> Tensor:
        """Apply the layer to images (N, C, H, W) or one image (C, H, W)."""
        return Tensor(conv2d(read("x", x), self.weight, self.bias, self.stride, self.padding))

    def __repr__(self) -> str:
        """Show the sizes."""
        outputs, channels, *size = self.weight.shape
        return f"Conv2D({channels}, {outputs}, {tuple(size)}, stride={self.stride}, padding={self.padding})"
