"""A model on our kernels as a safetensors file: tensors and a few words, nothing that runs when read."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tinytorch.compress.files import FORMAT, VERSION, read_file
from tinytorch.ops.weights.base import restore
from tinytorch.torch import kernels
from tinytorch.torch.arrays import to_arrays
from tinytorch.torch.models import replace
from tinytorch.torch.modules import Conv2d, Linear


def save(model: nn.Module, path: Any) -> None:
    """Write a model's state to a safetensors file, its packed layers as they are.

    Raises ValueError if the model holds no packed layer, OSError where nothing can be written.
    """
    layers = {name: "linear" for name, layer in model.named_modules() if type(layer) is Linear}
    layers |= {name: "conv2d" for name, layer in model.named_modules() if type(layer) is Conv2d}
    if not layers:
        raise ValueError("the model has no layer on our kernels: accelerate it first")
    seen: dict[tuple[int, int], str] = {}
    tensors = {}
    for name, tensor in model.state_dict().items():
        key = tensor.data_ptr(), tensor.numel()
        # safetensors keeps no two names of one memory: tied weights are written once for each.
        tensors[name] = tensor.detach().clone().contiguous() if key in seen else tensor.detach().contiguous()
        seen[key] = name
    save_file(tensors, path, {"format": FORMAT, "version": VERSION, "layers": json.dumps(layers)})


def load(model: nn.Module, path: Any) -> nn.Module:
    """Read what `save` wrote into a model of the same architecture, not yet accelerated; returns the model.

    The layers that were packed are replaced by packed ones; all other weights are read as they are.

    Raises ValueError if the file is damaged, is none of ours, or does not fit the model, which then is as it
    was; OSError if it cannot be read.
    """
    path = Path(path)
    state, layers = read_file(path, "layers", "pt", load_file)
    packed = _packed(model, state, layers, path)
    # On a copy of everything but the weights first: a file that does not fit changes nothing.
    trial = model.state_dict()
    own = [key for key in trial if not any(key.startswith(f"{name}.") for name in packed)]
    rest = {
        key: value for key, value in state.items() if not any(key.startswith(f"{name}.") for name in packed)
    }
    if set(own) != set(rest):
        odd = sorted(set(own) ^ set(rest))[0]
        raise ValueError(f"{path} does not fit the model: {odd} is on one side only")
    for key in own:
        if trial[key].shape != rest[key].shape:
            raise ValueError(
                f"{path} does not fit the model: {key} has shape {tuple(rest[key].shape)}, "
                f"not {tuple(trial[key].shape)}"
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
    except (ValueError, KeyError, AttributeError, RecursionError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit the model: {error}") from None
    return found


def _layer(model: nn.Module, name: str, kind: Any, own: dict[str, torch.Tensor]) -> nn.Module:
    there = model.get_submodule(name)
    if kind == "conv2d":
        if not isinstance(there, nn.Conv2d | Conv2d) or own["weight"].shape != there.weight.shape:
            raise ValueError(f"{name} is not such a convolution in the model")
        layer = Conv2d(there) if isinstance(there, nn.Conv2d) else there
        layer.load_state_dict(own)
        return layer
    if kind != "linear":
        raise ValueError(f"{name} is of an unknown kind, {kind!r:.40}")
    form, names = kernels.decode(bytes(own["weight_form"].to(torch.uint8).tolist()).decode("utf8", "replace"))
    tensors = {part: own[f"weight_{part.replace('.', '_')}"] for part in names}
    weight = restore(form, to_arrays(tensors))
    expected = _features(there)
    if expected is not None and weight.shape != expected:
        raise ValueError(f"{name} has shape {weight.shape} in the file and {expected} in the model")
    bias = own.get("bias")
    if bias is not None and (bias.shape != (weight.shape[1],) or not bias.is_floating_point()):
        raise ValueError(f"the bias of {name} has shape {tuple(bias.shape)}")
    return Linear(weight, bias).train(there.training)


def _features(layer: nn.Module) -> tuple[int, int] | None:
    if isinstance(layer, nn.Linear | Linear):
        return layer.in_features, layer.out_features
    weight = getattr(layer, "weight", None)
    return tuple(weight.shape) if isinstance(weight, torch.Tensor) and weight.ndim == 2 else None
