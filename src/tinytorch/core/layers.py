"""The product in three loops, and the layer that is made of one."""

from typing import Any

import numpy as np

from tinytorch.core.tensor import Tensor
from tinytorch.ops.linear import linear, pack_weight
from tinytorch.ops.matmul import loops
from tinytorch.ops.product import result_shape
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.arrays import like, read


def matmul_naive(a: Any, b: Any) -> Any:
    """Return a (M, K) times b (K, N) by three loops in Python: the bottom rung of every comparison.

    The result is of the kind that was given. Raises ValueError naming the shapes unless both are 2-D and fit.

    >>> import numpy as np
    >>> matmul_naive(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    left, right = read("a", a), read("b", b)
    if left.ndim != 2 or right.ndim != 2:
        raise ValueError(f"matmul_naive takes 2-D arrays; the shapes are {left.shape} and {right.shape}")
    result_shape(left, right)
    return like(loops(left, right), a, b)


class Dense:
    """A fully connected layer, x @ weights + bias: `Dense(input_size, output_size, use_bias=True)`.

    `weights` has shape (in, out), `bias` (out,) or is None; both are float32 tensors that may be replaced.
    Weights begin uniform in +-sqrt(6 / (in + out)) (Glorot and Bengio, 2010), the bias at zero.

    Raises TypeError or ValueError for sizes that are not integers of at least 1.

    >>> Dense(3, 2)(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(self, input_size: int, output_size: int, use_bias: bool = True) -> None:
        self.input_size = integer("input_size", input_size, 1)
        self.output_size = integer("output_size", output_size, 1)
        shape = self.input_size, self.output_size
        limit = np.sqrt(6 / sum(shape))
        self.weights = Tensor(np.random.default_rng().uniform(-limit, limit, shape).astype(np.float32))
        self.bias = Tensor(np.zeros(self.output_size, np.float32)) if use_bias else None
        self._packed: tuple[PackedWeight | None, Any] = None, None  # and the array it was made of

    def __call__(self, x: Any, activation: str | None = None) -> Tensor:
        """Apply the layer to x (..., in), and an activation of `ops.linear` in the same kernel."""
        packed, of = self._packed
        weights = packed if packed is not None and of is self.weights.data else self.weights
        return Tensor(linear(read("x", x), weights, self.bias, activation))

    def pack(self, dtype: Any = None) -> "Dense":
        """Pack the weights for inference, as `ops.pack_weight` does; returns the layer.

        The array of the weights becomes read-only, so that no change in place can go unnoticed, and is copied
        before if it is a view of another's memory; other weights, set as `weights`, are used as they are
        until they are packed too.

        >>> Dense(3, 2).pack("int8")(np.ones((5, 3), np.float32)).shape
        (5, 2)
        """
        if self.weights.data.base is not None:
            self.weights = Tensor(self.weights.data.copy())
        self._packed = pack_weight(self.weights, dtype), self.weights.data
        self.weights.data.setflags(write=False)
        return self

    def __repr__(self) -> str:
        """Show the sizes."""
        return f"Dense({self.input_size}, {self.output_size}, use_bias={self.bias is not None})"
