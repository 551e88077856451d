"""Activations as callable objects, for `Sequential`."""

from typing import Any

import numpy as np

from tinytorch.core.tensor import Tensor
from tinytorch.ops.elementwise import relu_array
from tinytorch.ops.epilogue import apply
from tinytorch.runtime.arrays import FLOATS, read


class ReLU:
    """max(0, x); NaN stays NaN.

    >>> ReLU()([-1.0, 2.0])
    Tensor([0., 2.], dtype=float64)
    """

    def __call__(self, x: Any) -> Tensor:
        """Apply to every element."""
        return Tensor(relu_array(read("x", x)))


class Sigmoid:
    """1 / (1 + exp(-x)), which overflows nowhere; integers give float64.

    >>> Sigmoid()([0.0, 1e4])
    Tensor([0.5, 1. ], dtype=float64)
    """

    def __call__(self, x: Any) -> Tensor:
        """Apply to every element."""
        return Tensor(apply("sigmoid", _floating(x)))


class Tanh:
    """Hyperbolic tangent; integers give float64.

    >>> Tanh()([0.0, 1e4])
    Tensor([0., 1.], dtype=float64)
    """

    def __call__(self, x: Any) -> Tensor:
        """Apply to every element."""
        return Tensor(apply("tanh", _floating(x)))


def _floating(x: Any) -> Any:
    array = read("x", x)
    return array if array.dtype in FLOATS else array.astype(np.float64)
