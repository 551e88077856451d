"""A network as a list of layers."""

from collections.abc import Callable, Iterable
from typing import Any

from tinytorch.core.tensor import Tensor


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
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        """Show the layers."""
        return f"Sequential({self.layers!r})"
