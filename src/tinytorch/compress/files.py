"""A network of ours as a safetensors file: arrays and a few words, nothing that runs when it is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from tinytorch.compress.models import named_layers
from tinytorch.core.layers import Dense
from tinytorch.core.networks import Sequential
from tinytorch.core.tensor import Tensor
from tinytorch.ops.weights.base import PackedWeight, float_dtype, restore
from tinytorch.runtime.arrays import FLOATS, HALVES, Array

FORMAT, VERSION = "tinytorch", "1"


def save(model: Sequential | Dense, path: Any) -> None:
    """Write the dense layers of a network to a safetensors file: the weights that they hold.

    Raises TypeError for another model, OSError where nothing can be written.

    >>> import tempfile
    >>> layer, file = Dense(8, 4), Path(tempfile.mkdtemp()) / "layer.safetensors"
    >>> save(layer, file)
    >>> np.array_equal(load(Dense(8, 4), file).weights.data, layer.weights.data)
    True
    """
    arrays: dict[str, Array] = {}
    forms: dict[str, Any] = {}
    halves: dict[str, str] = {}
    for name, layer in named_layers(model):
        held = layer.held
        parts = held.arrays() if isinstance(held, PackedWeight) else {"weights": held}
        if isinstance(held, PackedWeight):
            forms[name] = held.form
        if layer.bias is not None:
            parts = {**parts, "bias": layer.bias.data}
        arrays |= {f"{name}/{key}": _plain(array) for key, array in parts.items()}
        halves |= {f"{name}/{key}": str(array.dtype) for key, array in parts.items() if array.dtype in HALVES}
    said = {"weights": forms, "halves": halves}
    metadata = {"format": FORMAT, "version": VERSION, "forms": json.dumps(said)}
    write_file(save_file, arrays, path, metadata)


def load(model: Any, path: Any) -> Any:
    """Read what `save` wrote into a network of the same layers; returns it.

    Raises ValueError if the file is damaged, is none of ours or does not fit the network, which then is as it
    was; OSError if it cannot be read.
    """
    layers = dict(named_layers(model))
    state, said = read_file(Path(path), "forms")
    found = {}
    try:
        forms, halves = said["weights"], said["halves"]
        if not isinstance(forms, dict) or not isinstance(halves, dict):
            raise ValueError("it does not say what it holds")
        for key, dtype in halves.items():
            state[key] = state[key].view(float_dtype(dtype))
        for name, layer in layers.items():
            own = {key.partition("/")[2]: a for key, a in state.items() if key.partition("/")[0] == name}
            found[name] = _layer(layer, own, forms.get(name))
        if unknown := sorted({key.partition("/")[0] for key in state} - set(layers)):
            raise ValueError(f"there is no dense layer {unknown[0]!r} in the network")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not fit the network: {error}") from None
    for name, (weight, bias) in found.items():
        if isinstance(weight, PackedWeight):
            layers[name].hold(weight)
        else:
            layers[name].weights = Tensor(weight)
        layers[name].bias = None if bias is None else Tensor(bias)
    return model


def write_file(
    write: Callable[..., None], arrays: dict[str, Any], path: Any, metadata: dict[str, str]
) -> None:
    """Write a safetensors file; OSError where none can be written."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} to write {Path(path).name} to")
    try:
        write(arrays, path, metadata)
    except safetensors.SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from None


def read_file(
    path: Path, words: str, framework: str = "np", read: Callable[[Path], dict[str, Any]] = load_file
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of one of our files, as `read` does, and what its metadata has under a name.

    Raises ValueError if it is damaged or none of ours, OSError if it cannot be read.
    """
    try:
        with safetensors.safe_open(path, framework=framework) as file:
            metadata = file.metadata() or {}
        if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
            raise ValueError(f"{path} is not a file of tinytorch, version {VERSION}")
        state = read(path)
    except (safetensors.SafetensorError, AttributeError) as error:  # a dtype that NumPy has not
        raise ValueError(f"{path} is no safetensors file, or a damaged one: {error}") from None
    try:
        said = json.loads(metadata[words])
    except (KeyError, ValueError, RecursionError):
        raise ValueError(f"{path} does not say what it holds") from None
    if not isinstance(said, dict):
        raise ValueError(f"{path} does not say what it holds")
    return state, said


def _layer(layer: Dense, own: dict[str, Array], form: Any) -> tuple[PackedWeight | Array, Array | None]:
    shape, bias = (layer.input_size, layer.output_size), own.pop("bias", None)
    weight: PackedWeight | Array
    if form is None:
        weight = own["weights"]
        if weight.dtype not in FLOATS:
            raise ValueError(f"weights are of dtype {weight.dtype}")
    elif isinstance(form, dict):
        weight = restore(form, own)
    else:
        raise ValueError("a form is none")
    if weight.shape != shape:
        raise ValueError(f"a weight of shape {weight.shape} does not fit a layer of {shape}")
    if (bias is None) != (layer.bias is None):
        raise ValueError("there is a bias on one side only")
    if bias is not None and (bias.shape != shape[1:] or bias.dtype not in FLOATS):
        raise ValueError(f"a bias {bias.dtype} {bias.shape} does not fit {shape[1]} outputs")
    return weight, bias


def _plain(array: Array) -> Array:
    """Return half types as the bits they are: not every version of the format's library knows them."""
    return np.ascontiguousarray(array.view(np.uint16) if array.dtype in HALVES else array)
