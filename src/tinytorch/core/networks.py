"""A network as a list of layers."""

from collections.abc import Callable, Iterable
from typing import Any

from tinytorch.core.activations import ReLU, Sigmoid, Tanh
from tinytorch.core.layers import Dense
from tinytorch.core.tensor import Tensor
from tinytorch.runtime.arrays import FLOATS

#: Activations that a dense layer before them applies in its own kernel.
_FUSED: dict[type, str] = {ReLU: "relu", Sigmoid: "sigmoid", Tanh: "tanh"}


class Sequential:
    """Layers applied one after another; any callable may be a layer: `Sequential(layers)`.

    Raises TypeError naming the first layer that cannot be called.

    >>> from tinytorch.core.activations import ReLU
    >>> Sequential([ReLU(), lambda x: x * 2])([-1.0, 3.0])
    Tensor([0., 6.], dtype=float64)
    """

    def __init__(self, layers: Iterable[Callable[[Any], Any]]) -> None:
        self.layers = list(layers)
        for number, layer in enumerate(self.layers):
            if not callable(layer):
                raise TypeError(f"layer {number} is a {type(layer).__name__}, which cannot be called")

    def __call__(self, x: Any) -> Tensor:
        """Apply the layers to a batch."""
        x = x if isinstance(x, Tensor) else Tensor(x)
        number = 0
        while number < len(self.layers):
            layer = self.layers[number]
            following = self.layers[number + 1] if number + 1 < len(self.layers) else None
            if (
                type(layer) is Dense
                and type(following) in _FUSED
                and isinstance(x, Tensor)
                and x.dtype in FLOATS
            ):
                x = layer(x, _FUSED[type(following)])  # one kernel for both
                number += 2
            else:
                x = layer(x)
                number += 1
        return x

    def pack(self, dtype: Any = None) -> "Sequential":
        """Pack the weights of every layer that can be packed (`Dense.pack`); returns the network."""
        for layer in self.layers:
            if isinstance(layer, Dense):
                layer.pack(dtype)
        return self

    def __repr__(self) -> str:
        """Show the layers."""
        return f"Sequential({self.layers!r})"
