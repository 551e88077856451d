"""A PyTorch model as `compress` sees models: its dense layers, their inputs, what may replace them."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tinytorch.compress.models import Model, Site
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.runtime.arrays import Array
from tinytorch.torch.arrays import to_array
from tinytorch.torch.modules import Linear


def conv1d() -> type | None:
    """Return Hugging Face's `Conv1D`, a dense layer with its weight the other way round, if it is loaded."""
    module = sys.modules.get("transformers.pytorch_utils")
    return getattr(module, "Conv1D", None)


def is_dense(layer: nn.Module) -> bool:
    """Say whether a module is a dense layer that can be replaced: the class itself, float32, on the CPU."""
    if type(layer) is Linear:
        return True
    if type(layer) is nn.Linear or type(layer) is conv1d():
        weight = layer.weight
        return isinstance(weight, Tensor) and weight.device.type == "cpu" and weight.dtype == torch.float32
    return False


class TorchModel(Model):
    """A module of PyTorch, in evaluation mode while it is looked at."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the dense layers by name, each once, but for those whose weight another module has, too."""
        shared = _shared(self._model)
        for name, layer in self._model.named_modules():
            if is_dense(layer) and id(getattr(layer, "weight", None)) not in shared:
                yield name, layer

    def sites(self) -> list[Site]:
        """Return its dense layers."""
        return [_site(self._model, name, layer) for name, layer in self.layers()]

    @contextmanager
    def watched(self, see: Callable[[str, Array], None]) -> Iterator[None]:
        """Tell of what every dense layer is given."""
        handles = []
        for name, layer in self.layers():

            def hook(_: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
                see(name, to_array(inputs[0].float() if inputs[0].dtype != torch.float32 else inputs[0]))

            handles.append(layer.register_forward_pre_hook(hook))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def call(self, inputs: Any) -> list[Array]:
        """Run it on examples: a tensor, a tuple of arguments, a mapping of them, or a list of these."""
        return [
            result for one in (inputs if isinstance(inputs, list) else [inputs]) for result in self._once(one)
        ]

    def _once(self, inputs: Any) -> list[Array]:
        training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad():
                if isinstance(inputs, Mapping):
                    result = self._model(**inputs)
                else:
                    result = self._model(*(inputs if isinstance(inputs, tuple) else (inputs,)))
        finally:
            self._model.train(training)
        return [to_array(tensor.float()) for tensor in _tensors(result)]


def _tensors(result: Any) -> list[Tensor]:
    """Return the float tensors of a model's result, whatever it is made of."""
    if isinstance(result, Tensor):
        return [result] if result.is_floating_point() else []
    if isinstance(result, Mapping):
        result = tuple(result.values())
    if isinstance(result, tuple | list):
        return [tensor for part in result for tensor in _tensors(part)]
    return []


def _shared(model: nn.Module) -> set[int]:
    """Return the parameters that more than one module has: tied weights, as of embedding and output."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {key for key, count in owners.items() if count > 1}


def _site(model: nn.Module, name: str, layer: nn.Module) -> Site:
    def weight() -> Array:
        if isinstance(layer, Linear):
            return layer.packed.values()
        assert isinstance(layer.weight, Tensor)
        matrix = to_array(layer.weight)
        return matrix.T if type(layer) is nn.Linear else matrix

    def trial(packed: PackedWeight) -> Callable[[Any], Any]:
        return _quietly(Linear(packed, layer.bias if isinstance(layer.bias, Tensor) else None))

    def install(packed: PackedWeight) -> Callable[[], None]:
        new = Linear(packed, layer.bias if isinstance(layer.bias, Tensor) else None)
        new.train(layer.training)
        replace(model, name, new)
        return lambda: replace(model, name, layer)

    if isinstance(layer, Linear):
        shape, nbytes = (layer.in_features, layer.out_features), layer.packed.nbytes
    else:
        assert isinstance(layer.weight, Tensor)
        sides = tuple(layer.weight.shape)
        shape = (sides[1], sides[0]) if type(layer) is nn.Linear else (sides[0], sides[1])
        nbytes = layer.weight.nbytes
    return Site(name, shape, nbytes, weight, _quietly(layer), install, trial, torch.from_numpy, to_array)


def _quietly(layer: nn.Module) -> Callable[[Any], Any]:
    """Return a layer as a function that records no gradients and calls no hooks."""

    def run(x: Any) -> Any:
        with torch.no_grad():
            return layer.forward(x)

    return run


def replace(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put another module in a place; ValueError where that is the model itself."""
    if not name:
        raise ValueError("the model is itself a dense layer: put it into an nn.Sequential, or use Linear.of")
    old = model.get_submodule(name)
    for parent in list(model.modules()):  # a layer may have more than one name
        for own, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, own, new)
