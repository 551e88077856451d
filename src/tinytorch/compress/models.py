"""The dense layers of a model, whatever library it is of: what runs there, and what may replace it.

`adapt` finds the adapter: for our own `Sequential` and `Dense` it is here, for PyTorch in `tinytorch.torch`,
which registers it, and is imported only if PyTorch is there already.
"""

import copy
import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinytorch.core.layers import Dense
from tinytorch.core.networks import Sequential
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.runtime.arrays import Array, read


@dataclass(frozen=True)
class Site:
    """A dense layer of a model, where it is."""

    name: str
    shape: tuple[int, int]  # (in, out)
    nbytes: int  # of its weight as it is
    weight: Callable[[], Array]  # (in, out)
    run: Callable[[Array], Any]  # what is done now to x (rows, in)
    install: Callable[[PackedWeight], Callable[[], None]]  # put a weight there; returns what undoes it
    #: `trial(packed)` returns what would be done with it, called as the model would call it.
    trial: Callable[[PackedWeight], Callable[[Array], Any]]
    #: An input as `run` and a trial take it, made of an array once.
    to_input: Callable[[Array], Any] = lambda x: x
    #: The result of `run` or a trial as an array.
    to_array: Callable[[Any], Array] = lambda y: y


class Model(ABC):
    """A model, seen as its dense layers and something to be called."""

    @abstractmethod
    def sites(self) -> list[Site]:
        """Return its dense layers in order."""

    @abstractmethod
    def watched(self, see: Callable[[str, Array], None]) -> Any:
        """Return a context in which `see(name, x)` is told of what every dense layer is given."""

    @abstractmethod
    def call(self, inputs: Any) -> list[Array]:
        """Run it on the examples; returns the results as arrays."""


#: By library: what makes an adapter of a model of it, or None. Libraries above this one register their own.
ADAPTERS: dict[str, Callable[[Any], Model | None]] = {}


def adapt(model: Any) -> Model:
    """Return a model's adapter; TypeError for what is no model that we know."""
    if isinstance(model, Sequential | Dense):
        return Native(model)
    if "torch" in sys.modules:  # else it cannot be one of its modules
        importlib.import_module("tinytorch.torch")
    for make in ADAPTERS.values():
        found = make(model)
        if found is not None:
            return found
    raise TypeError(
        f"model is a {type(model).__name__}; a Sequential, a Dense or a PyTorch module can be compressed"
    )


class Native(Model):
    """Our own networks."""

    def __init__(self, model: Sequential | Dense) -> None:
        self._model = model

    def sites(self) -> list[Site]:
        """Return the dense layers, named by their places in `layers`: "0", "3.1"."""
        return [_site(name, layer) for name, layer in named_layers(self._model)]

    @contextmanager
    def watched(self, see: Callable[[str, Array], None]) -> Iterator[None]:
        """Tell of what every dense layer is given."""
        layers = named_layers(self._model)
        for name, layer in layers:
            layer.observer = lambda x, name=name: see(name, x)
        try:
            yield
        finally:
            for _, layer in layers:
                layer.observer = None

    def call(self, inputs: Any) -> list[Array]:
        """Run it: `inputs` is one batch, or a list of batches."""
        batches = inputs if isinstance(inputs, list) else [inputs]
        return [read("the result", self._model(batch)) for batch in batches]


def named_layers(model: Any) -> list[tuple[str, Dense]]:
    """Return the dense layers of a network by their places in `layers`; "" for a `Dense` itself."""
    if isinstance(model, Dense):
        return [("", model)]
    if not isinstance(model, Sequential):
        raise TypeError(
            f"model is a {type(model).__module__}.{type(model).__name__}, not a Sequential or a Dense; "
            "for PyTorch's there are tinytorch.torch.save and load"
        )
    found: dict[int, tuple[str, Dense]] = {}  # a layer may be there twice
    for name, layer in _named(model, ""):
        found.setdefault(id(layer), (name, layer))
    return list(found.values())


def _named(network: Sequential, start: str) -> Iterator[tuple[str, Dense]]:
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Dense):
            yield f"{start}{number}", layer
        elif isinstance(layer, Sequential):
            yield from _named(layer, f"{start}{number}.")


def _site(name: str, layer: Dense) -> Site:
    def install(packed: PackedWeight) -> Callable[[], None]:
        before = layer.__dict__.copy()
        layer.hold(packed)
        return lambda: layer.__dict__.update(before)

    def trial(packed: PackedWeight) -> Callable[[Array], Any]:
        return copy.copy(layer).hold(packed)

    return Site(
        name,
        (layer.input_size, layer.output_size),
        layer.nbytes,
        lambda: layer.weights.data,
        layer,
        install,
        trial,
        to_array=lambda y: y.data,
    )
