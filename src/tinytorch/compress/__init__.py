"""A model made smaller and faster, with a report of how much, and at what cost in accuracy.

Each function takes a `Sequential` (or a `Dense`, or a PyTorch module), changes its dense layers in place and
returns a `Report`. A layer that would not be faster at the numbers of rows that were seen is left as it was,
and the report says so. `how` has the ways to compress one weight, `apply` tries and measures them, `models`
finds the layers, `calibration` chooses scales for inputs.

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
