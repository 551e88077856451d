"""One line for a PyTorch model: its layers on our kernels, wherever that makes them faster."""

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from typing import Any

import numpy as np
import torch
from torch import nn

from tinytorch.compress.api import quantizer
from tinytorch.compress.apply import ROWS, apply, difference, names_to_skip, too_slow
from tinytorch.compress.report import LayerReport, Report
from tinytorch.measure.timing import compare, unchecked
from tinytorch.simd.target import chosen
from tinytorch.torch.arrays import to_array
from tinytorch.torch.kernels import follow_threads
from tinytorch.torch.models import TorchModel, given, hooked, replace
from tinytorch.torch.modules import Conv2d, why_not

DTYPES = ("int8", "int4", "bfloat16", "float32")


def accelerate(
    model: nn.Module,
    dtype: str = "int8",
    example_inputs: Any = None,
    *,
    weight_only: bool = False,
    group_size: int = 32,
    activations: Any = None,
    rows: Sequence[int] = ROWS,
    skip: Sequence[str] = (),
    only_if_faster: bool = True,
) -> Report:
    """Replace a model's `nn.Linear`, Hugging Face `Conv1D` and `nn.Conv2d` by our layers, in place.

    `dtype` is what weights are kept as: "int8" (rows of the input are brought to int8, too, unless
    `weight_only`), "int4" (in groups of `group_size`), "bfloat16" (rows too, on CPUs that multiply pairs of
    them) or "float32". `example_inputs` are arguments of the model: a tensor, a tuple, a mapping, or a list
    of these. Each layer is timed as it is and as it would be, at the numbers of rows that the examples bring
    it (without examples at each of `rows`), and left as it is where it would be slower, unless
    `only_if_faster` is False. Convolutions need examples, and stay in float32. Inputs and results are float
    tensors on the CPU.

    Returns the report: what was done to each layer, its bytes, time and error, and the error of the result.
    Kernels use as many threads as torch does. Raises TypeError for what is no module, ValueError for another
    dtype, and as `compress.quantize` does.

    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    >>> report = accelerate(model, "int8", torch.ones(8, 64), only_if_faster=False)
    >>> report.applied
    ['0', '2']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    follow_threads()
    if dtype == "bfloat16" and activations is None and chosen().bfloat16_dot:
        activations = "bfloat16"
    found, make = TorchModel(model), quantizer(dtype, weight_only, group_size, activations)
    images = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Conv2d}
    others = [name for name in names_to_skip(skip) if name not in images]
    before = [] if example_inputs is None else found.call(example_inputs)
    title = f"accelerate: {dtype}, {torch.get_num_threads()} threads"
    reasons = found.kept()
    report = apply(model, make, title, example_inputs, rows, others, only_if_faster, only_if_smaller=False)
    tried = {name: layer for name, layer in images.items() if name not in skip}
    if tried and example_inputs is None:
        report.notes.append("Convolutions were not tried: that needs example_inputs.")
    elif tried:
        report.layers += _convolutions(model, tried, example_inputs, only_if_faster)
        if before and report.applied:
            report.error = difference(before, found.call(example_inputs))
    report.notes += [f"{name} stays: {reason}." for name, reason in reasons.items()]
    return report


def _convolutions(
    model: nn.Module, layers: Mapping[str, nn.Conv2d], inputs: Any, only_if_faster: bool
) -> list[LayerReport]:
    """Replace convolutions by ours where these are faster on what the examples bring first."""
    seen: dict[str, torch.Tensor] = {}
    handles = []
    for name, layer in layers.items():

        def hook(_: nn.Module, args: Any, named: Any, name: str = name) -> None:
            seen.setdefault(name, given(args, named))

        handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        TorchModel(model).call(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [
        _convolution(model, name, layer, seen.get(name), only_if_faster) for name, layer in layers.items()
    ]


def _convolution(
    model: nn.Module, name: str, layer: nn.Conv2d, x: torch.Tensor | None, only_if_faster: bool
) -> LayerReport:
    outputs, inputs, *size = layer.weight.shape
    shape, bytes_ = (inputs * int(np.prod(size)), outputs), layer.weight.nbytes
    line = LayerReport(name, shape, "float32 convolution", False, "", bytes_, bytes_, (), 0.0, 0.0, 0.0)
    reason = why_not(layer) or ("hooks" if hooked(layer) else "")
    if x is None:
        return changed(line, reason="the examples do not come through it")
    if reason or x.dtype != torch.float32:
        return changed(line, reason=f"it has {reason or x.dtype}, which ours would not")
    new = Conv2d(layer).train(layer.training)
    with torch.no_grad():
        found = compare(
            {"before": layer.forward, "after": new.forward}, x, check=unchecked, seconds=0.05, rounds=5
        )
        error = difference([to_array(layer.forward(x))], [to_array(new.forward(x))])
    seconds = {key: measurement.minimum for key, measurement in found.items()}
    line = changed(
        line, rows=(len(x),), seconds_before=seconds["before"], seconds_after=seconds["after"], error=error
    )
    if only_if_faster and not line.seconds_after < line.seconds_before:
        return changed(line, reason=too_slow(line))
    replace(model, name, new)
    return changed(line, applied=True)
