"""PyTorch models on our kernels: `accelerate` replaces their dense layers, and convolutions where ours win.

    report = tinytorch.torch.accelerate(model, dtype="int8", example_inputs=batch)
    print(report)

Float tensors on the CPU go in and out. `kernels` registers what runs as operators of `torch.library`, so that
`torch.compile` and `torch.export` see them; `modules` are the layers; `files` keeps a model as safetensors.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("tinytorch.torch needs PyTorch: pip install 'tinytorch-kernels[torch]'") from error

from tinytorch.torch.files import load, save
from tinytorch.torch.modules import Conv2d, Linear
from tinytorch.torch.replacing import accelerate

__all__ = ["Conv2d", "Linear", "accelerate", "load", "save"]
