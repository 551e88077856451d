"""A model made smaller and faster, with a report of how much, and at what cost in accuracy.

`quantize`, `prune` and `low_rank` take a `Sequential` (or a `Dense`, or a PyTorch module), change its dense
layers in place and return a `Report`. A layer that would not be faster at the numbers of rows that were seen
is left as it was, and the report says so. `sensitivity` tries ways and changes nothing, `calibrate` finds
scales for inputs. `how` has the ways to compress one weight, `apply` tries and measures them, `models` finds
the layers, `files` keeps a network as safetensors.

What needs training (distillation, quantization-aware training, pruning with recovery) is outside: train in
PyTorch, with torchao or with your own loop, and compress what comes of it.
"""

from tinytorch.compress.api import calibrate, low_rank, prune, quantize, sensitivity
from tinytorch.compress.files import load, save
from tinytorch.compress.report import LayerReport, Report

__all__ = [
    "LayerReport",
    "Report",
    "calibrate",
    "load",
    "low_rank",
    "prune",
    "quantize",
    "save",
    "sensitivity",
]
