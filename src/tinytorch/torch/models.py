"""A PyTorch model as `compress` sees models: its dense layers, their inputs, what may replace them."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tinytorch.compress.models import ADAPTERS, Model, Site
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
        if is_dense(model) or type(model) is nn.Conv2d:
            kind = type(model).__name__
            raise ValueError(f"the model is itself a {kind}: put it into an nn.Sequential to replace it")
        self._model = model

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the dense layers that can be replaced by name, each once."""
        kept = self.kept()
        for name, layer in self._model.named_modules():
            if is_dense(layer) and name not in kept:
                yield name, layer

    def kept(self) -> dict[str, str]:
        """Return the dense layers that stay whatever they would gain, and why."""
        shared, reasons = _shared(self._model), {}
        for name, layer in self._model.named_modules():
            if isinstance(layer, nn.TransformerEncoderLayer):
                for own, child in layer.named_modules():
                    if is_dense(child):
                        reasons[f"{name}.{own}" if name else own] = "PyTorch's fast path reads its weight"
            if isinstance(layer, nn.MultiheadAttention):
                reasons[name] = "attention multiplies by its weights itself"
            if type(layer) is not Linear and isinstance(layer, nn.Linear) and not is_dense(layer):
                reasons[name] = "it is not float32 on the CPU, or of a class of its own"
            elif type(layer) is not Linear and is_dense(layer) and id(layer.weight) in shared:
                reasons[name] = "another module has its weight, too"
            elif is_dense(layer) and hooked(layer):
                reasons[name] = "it has hooks, which would be lost"
        return reasons

    def sites(self) -> list[Site]:
        """Return its dense layers."""
        return [_site(self._model, name, layer) for name, layer in self.layers()]

    @contextmanager
    def watched(self, see: Callable[[str, Array], None]) -> Iterator[None]:
        """Tell of what every dense layer is given."""
        handles = []
        for name, layer in self.layers():

            def hook(_: nn.Module, args: Any, named: Any, name: str = name) -> None:
                see(name, to_array(given(args, named).float()))

            handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
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
        training = {module: module.training for module in self._model.modules()}
        self._model.eval()
        try:
            with torch.no_grad():
                if isinstance(inputs, Mapping):
                    result = self._model(**inputs)
                else:
                    result = self._model(*(inputs if isinstance(inputs, tuple) else (inputs,)))
        finally:
            for module, was in training.items():
                module.training = was
        return [to_array(tensor.float()) for tensor in _tensors(result)]


ADAPTERS["torch"] = lambda model: TorchModel(model) if isinstance(model, nn.Module) else None


def given(args: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """Return what a layer was called with, by position or by name."""
    tensor = args[0] if args else next(iter(named.values()))
    assert isinstance(tensor, Tensor)
    return tensor.detach()


def _tensors(result: Any) -> list[Tensor]:
    """Return the float tensors of a model's result, whatever it is made of."""
    if isinstance(result, Tensor):
        return [result] if result.is_floating_point() else []
    if isinstance(result, Mapping):
        result = tuple(result.values())
    if isinstance(result, tuple | list):
        return [tensor for part in result for tensor in _tensors(part)]
    return []


def hooked(layer: nn.Module) -> bool:
    """Say whether somebody hooked into a layer."""
    kinds = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(map(len, kinds))


def _shared(model: nn.Module) -> set[int]:
    """Return the parameters that more than one module has: tied weights, as of embedding and output."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {key for key, count in owners.items() if count > 1}


def features(layer: nn.Module) -> tuple[int, int]:
    """Return (in, out) of a dense layer."""
    if isinstance(layer, nn.Linear | Linear):
        return layer.in_features, layer.out_features
    assert isinstance(layer.weight, Tensor)
    return layer.weight.shape[0], layer.weight.shape[1]


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

    nbytes = layer.packed.nbytes if isinstance(layer, Linear) else layer.weight.nbytes
    return Site(
        name,
        features(layer),
        int(nbytes),
        weight,
        _quietly(layer),
        install,
        trial,
        torch.from_numpy,
        to_array,
    )


def _quietly(layer: nn.Module) -> Callable[[Any], Any]:
    """Return a layer as a function that records no gradients and calls no hooks."""

    def run(x: Any) -> Any:
        with torch.no_grad():
            return layer.forward(x)

    return run


def replace(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put another module in a place, under all the names that it has."""
    old = model.get_submodule(name)
    for parent in list(model.modules()):  # a layer may have more than one name
        for own, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, own, new)
