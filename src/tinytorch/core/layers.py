"""The product in three loops, and the layer that is made of one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch.core.tensor import Tensor
from tinytorch.ops.linear import linear, pack_weight
from tinytorch.ops.matmul import loops
from tinytorch.ops.product import result_shape
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.arrays import Array, like, read


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
    Weights begin uniform in +-sqrt(6 / (in + out)) (Glorot and Bengio, 2010), the bias at zero. A layer that
    `hold`s a packed weight has nothing else: its `weights` are then made of it when they are asked for.

    Raises TypeError or ValueError for sizes that are not integers of at least 1.

    >>> Dense(3, 2)(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    #: Told of each input, while somebody watches (`compress`).
    observer: Callable[[Any], None] | None = None

    def __init__(self, input_size: int, output_size: int, use_bias: bool = True) -> None:
        self.input_size = integer("input_size", input_size, 1)
        self.output_size = integer("output_size", output_size, 1)
        shape = self.input_size, self.output_size
        limit = np.sqrt(6 / sum(shape))
        drawn = np.random.default_rng().uniform(-limit, limit, shape)
        self._weights: Tensor | None = Tensor(drawn.astype(np.float32))
        self.bias = Tensor(np.zeros(self.output_size, np.float32)) if use_bias else None
        self._packed: tuple[PackedWeight | None, Any] = None, None  # and the array it was made of, if kept

    @property
    def weights(self) -> Tensor:
        """The weights as a tensor; of a layer that holds a packed weight, what that stands for."""
        if self._weights is None:
            assert self._packed[0] is not None
            values = self._packed[0].values()
            values.setflags(write=False)
            return Tensor(values)
        return self._weights

    @weights.setter
    def weights(self, weights: Tensor) -> None:
        if self._weights is None:
            self._packed = None, None
        self._weights = weights

    @property
    def held(self) -> PackedWeight | Array:
        """What it holds: a packed weight, or the array of its weights."""
        if self._weights is None:
            assert self._packed[0] is not None
            return self._packed[0]
        return self._weights.data

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take."""
        return self.held.nbytes

    def __call__(self, x: Any, activation: str | None = None) -> Tensor:
        """Apply the layer to x (..., in), and an activation of `ops.linear` in the same kernel."""
        packed, of = self._packed
        kept = self._weights
        weights = packed if packed is not None and (kept is None or of is kept.data) else kept
        array = read("x", x)
        if self.observer is not None:
            self.observer(array)
        return Tensor(linear(array, weights, self.bias, activation))

    def hold(self, weight: PackedWeight) -> "Dense":
        """Hold a packed weight and nothing else, to save memory; returns the layer.

        Raises ValueError unless its shape is (in, out).

        >>> from tinytorch.ops import pack_weight
        >>> Dense(64, 64).hold(pack_weight(np.ones((64, 64), np.float32), "int8")).nbytes
        4608
        """
        if weight.shape != (self.input_size, self.output_size):
            needed = (self.input_size, self.output_size)
            raise ValueError(f"a weight of shape {weight.shape} does not fit a layer of {needed}")
        self._weights, self._packed = None, (weight, None)
        return self

    def pack(self, dtype: Any = None) -> "Dense":
        """Pack the weights for inference, as `ops.pack_weight` does; returns the layer.

        The array of the weights becomes read-only, so that no change in place can go unnoticed, and is copied
        before if it is a view of another's memory; other weights, set as `weights`, are used as they are
        until they are packed too. A layer that holds a packed weight already keeps it, unless another `dtype`
        is asked for.

        >>> Dense(3, 2).pack("int8")(np.ones((5, 3), np.float32)).shape
        (5, 2)
        """
        if self._weights is None and dtype is None:
            return self
        weights = self.weights
        if self._weights is None or weights.data.base is not None:
            weights = Tensor(weights.data.copy())
        packed = pack_weight(weights, dtype)  # which may refuse: nothing is changed before
        self.weights = weights
        self._packed = packed, weights.data
        self.weights.data.setflags(write=False)
        return self

    def __repr__(self) -> str:
        """Show the sizes."""
        return f"Dense({self.input_size}, {self.output_size}, use_bias={self.bias is not None})"
