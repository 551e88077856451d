"""A model on our kernels as a safetensors file: tensors and a few words, nothing that runs when read."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tinytorch.compress.files import FORMAT, VERSION, read_file, write_file
from tinytorch.torch.models import features, is_dense, replace
from tinytorch.torch.modules import Conv2d, Linear, read_state


def save(model: nn.Module, path: Any) -> None:
    """Write a model's state to a safetensors file, its packed layers as they are.

    Raises ValueError if the model holds no packed layer, OSError where nothing can be written.
    """
    layers = {name: "linear" for name, layer in model.named_modules() if type(layer) is Linear}
    layers |= {name: "conv2d" for name, layer in model.named_modules() if type(layer) is Conv2d}
    if not layers:
        raise ValueError("the model has no layer on our kernels: accelerate it first")
    if "" in layers:
        raise ValueError("the model is itself a layer on our kernels: put it into an nn.Sequential")
    # Copied, since safetensors takes no two names of one memory: tied weights are written once for each.
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    write_file(save_file, tensors, path, {"format": FORMAT, "version": VERSION, "layers": json.dumps(layers)})


def load(model: nn.Module, path: Any) -> nn.Module:
    """Read what `save` wrote into a model of the same architecture, not yet accelerated; returns the model.

    The layers that were packed are replaced by packed ones; all other weights are copied into what is there.

    Raises ValueError if the file is damaged, is none of ours, or does not fit the model, which then is as it
    was; OSError if it cannot be read.
    """
    path = Path(path)
    state, layers = read_file(path, "layers", "pt", load_file)
    packed = _packed(model, state, layers, path)
    # All is looked at before anything is changed.
    there = model.state_dict()
    replaced = {id(model.get_submodule(name)) for name in packed}
    # A layer may have more than one name, and so may what it holds.
    starts = tuple(
        f"{name}." for name, layer in model.named_modules(remove_duplicate=False) if id(layer) in replaced
    )
    own = [key for key in there if not key.startswith(starts)]
    rest = {key: value for key, value in state.items() if not key.startswith(starts)}
    if set(own) != set(rest):
        odd = sorted(set(own) ^ set(rest))[0]
        raise ValueError(f"{path} does not fit the model: {odd} is on one side only")
    for key in own:
        if there[key].shape != rest[key].shape:
            raise ValueError(
                f"{path} does not fit the model: {key} has shape {tuple(rest[key].shape)}, "
                f"not {tuple(there[key].shape)}"
            )
    for name, layer in packed.items():
        replace(model, name, layer)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key in rest:
                tensor.copy_(rest[key])
    return model


def _packed(
    model: nn.Module, state: dict[str, Any], layers: dict[str, Any], path: Path
) -> dict[str, nn.Module]:
    """Return the layers of a file that take the places of a model's."""
    try:
        found: dict[str, nn.Module] = {}
        for name, kind in layers.items():
            own = {
                key.removeprefix(f"{name}."): value
                for key, value in state.items()
                if key.startswith(f"{name}.")
            }
            found[name] = _layer(model, name, kind, own)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit the model: {error}") from None
    return found


def _layer(model: nn.Module, name: str, kind: Any, own: dict[str, torch.Tensor]) -> nn.Module:
    there = model.get_submodule(name)
    if kind == "conv2d":
        if not isinstance(there, nn.Conv2d | Conv2d) or own["weight"].shape != there.weight.shape:
            raise ValueError(f"{name} is not such a convolution in the model")
        layer = Conv2d(there) if isinstance(there, nn.Conv2d) else copy.deepcopy(there)
        layer.load_state_dict(own)
        return layer
    if kind != "linear":
        raise ValueError(f"{name} is of an unknown kind, {kind!r:.40}")
    if not (isinstance(there, nn.Linear | Linear) or is_dense(there)):
        raise ValueError(f"{name} is a {type(there).__name__} in the model, not a dense layer")
    weight, bias = read_state(own)
    if weight.shape != features(there):
        raise ValueError(f"{name} has shape {weight.shape} in the file and {features(there)} in the model")
    if (bias is None) != (there.bias is None):
        raise ValueError(f"{name} has a bias on one side only")
    return Linear(weight, bias).train(there.training)
