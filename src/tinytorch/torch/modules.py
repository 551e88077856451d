"""The layers that `accelerate` puts into a model."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from tinytorch.ops.linear import pack_weight
from tinytorch.ops.weights.base import PackedWeight, restore
from tinytorch.torch import kernels
from tinytorch.torch.arrays import to_array, to_arrays, to_tensor

#: How the buffers of a weight begin, and the one that holds its form.
_PART, _FORM = "weight_", "weight_form"
#: torch's own count of what looks at operators as they are dispatched: a graph being traced, a profiler.
_modes: Callable[[], int] = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)

_tracing: Callable[[], Any] = getattr(torch._C, "_get_tracing_state", lambda: None)


def _directly(x: Any) -> bool:
    """Say whether an operator need not be dispatched: a plain tensor, nothing recorded and nobody looking."""
    return (
        not torch.compiler.is_compiling()
        and type(x) is Tensor
        and x.is_cpu
        and _tracing() is None
        and forward_ad._current_level < 0
        and not (x.requires_grad and torch.is_grad_enabled())
        and _modes() == 0
    )


class _Kept(nn.Module):
    """A module whose weights lie as our kernels read them, on the CPU: `to` and `half` leave them alone."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        device = fn(torch.empty(0)).device.type
        if device not in ("cpu", "meta"):
            raise RuntimeError(
                f"{type(self).__name__} of tinytorch runs on the CPU and cannot move to {device}: "
                "move the model first, or keep the original"
            )
        return self


class Linear(_Kept):
    """A dense layer on a packed weight (in, out): x (..., in) to (..., out), as `nn.Linear`.

    Its buffers are the packed arrays and their form, so its `state_dict` holds nothing but tensors; another
    machine lays them out anew when it loads them. The weight does not train: gradients flow to the input (as
    if rounding to int8 were not there) and to nothing else.

    >>> layer = Linear.of(torch.nn.Linear(64, 64), dtype="int8")
    >>> layer(torch.ones(2, 64)).shape
    torch.Size([2, 64])
    """

    bias: Tensor | None

    def __init__(self, weight: PackedWeight, bias: Tensor | None = None) -> None:
        super().__init__()
        self._set_bias(bias)
        self._hold(weight)

    @property
    def weight(self) -> Tensor:
        """What the packed weight stands for, (out, in) as in `nn.Linear`: made anew each time."""
        return to_tensor(np.ascontiguousarray(self.packed.values().T))

    @classmethod
    def of(cls, layer: nn.Module, dtype: Any = None, **options: Any) -> "Linear":
        """Make one of an `nn.Linear`; `dtype` and options are those of `ops.pack_weight`."""
        assert isinstance(layer.weight, Tensor)
        bias = layer.bias if isinstance(layer.bias, Tensor) else None
        return cls(pack_weight(to_array(layer.weight).T, dtype, **options), bias)

    @torch.inference_mode(False)  # what is made in inference mode no graph can use later
    def _hold(self, weight: PackedWeight) -> None:
        for name in [name for name in self._buffers if name.startswith(_PART)]:
            del self._buffers[name]
        self._names = [_buffer(name) for name in weight.arrays()]
        for name, array in zip(self._names, weight.arrays().values(), strict=True):
            self.register_buffer(name, to_tensor(array))
        self._form = kernels.encode(weight)
        self.register_buffer(_FORM, torch.from_numpy(np.frombuffer(self._form.encode(), np.uint8).copy()))
        self.in_features, self.out_features = weight.shape
        self._weight: PackedWeight | None = weight
        self._watch()

    @torch.inference_mode(False)
    def _set_bias(self, bias: Tensor | None) -> None:
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def _watch(self) -> None:
        """Remember what the packed weight and the bias were made of."""
        buffers = ((name, self._buffers[name]) for name in (*self._names, "bias"))
        self._watched = [(name, tensor, getattr(tensor, "_version", 0)) for name, tensor in buffers]
        self._offsets = None if self.bias is None else to_array(self.bias)

    def _unchanged(self) -> bool:
        """Say whether no buffer was replaced or written to: what is read by machine code was checked once."""
        buffers = self._buffers
        for name, tensor, version in self._watched:
            if buffers[name] is not tensor or (tensor is not None and tensor._version != version):
                return False
        return True

    @property
    def packed(self) -> PackedWeight:
        """The packed weight."""
        if self._weight is not None and self._unchanged():
            return self._weight
        return kernels.weight_of(self.parts(), self._form)

    def parts(self) -> list[Tensor]:
        """Return the tensors of the weight."""
        return [self.get_buffer(name) for name in self._names]

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        if _directly(input) and self._weight is not None and self._unchanged():
            return kernels.run_linear(input, self._weight, self._offsets)
        return kernels.linear(input, self.parts(), self.bias, self._form)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take a weight as it is in `state_dict`, of whatever kind and layout; it is checked."""
        given = {key.removeprefix(prefix): state_dict[key] for key in state_dict if key.startswith(prefix)}
        if _FORM not in given:
            missing_keys.append(prefix + _FORM)
            return
        try:
            self._take(given)
        except (ValueError, TypeError, RuntimeError) as error:
            error_msgs.append(f"{prefix or 'the layer'}: {error}")

    def _take(self, given: dict[str, Tensor]) -> None:
        weight, bias = read_state(given)
        if weight.shape != (self.in_features, self.out_features):
            wanted = (self.in_features, self.out_features)
            raise ValueError(f"a weight of shape {weight.shape} does not fit a layer of {wanted}")
        if (bias is None) != (self.bias is None):
            raise ValueError("there is a bias on one side only")
        self._set_bias(bias)
        self._hold(weight)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what the buffers say already."""
        return {**self.__dict__, "_weight": None, "_offsets": None, "_watched": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the weight of the buffers again."""
        super().__setstate__(state)
        form, names = kernels.decode(self._form)
        arrays = to_arrays(dict(zip(names, self.parts(), strict=True)))
        self._hold(restore(form, arrays))

    def extra_repr(self) -> str:
        """Show sizes and how the weight is kept."""
        kind = json.loads(self._form)["form"]["kind"]
        biased = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={biased}, kind={kind}"


def _buffer(name: str) -> str:
    """Return the name of the buffer for an array of a weight; a buffer's name has no dots."""
    return f"{_PART}{name.replace('.', '_')}"


def read_state(given: Mapping[str, Tensor]) -> tuple[PackedWeight, Tensor | None]:
    """Return the weight and the bias that a state of a `Linear` holds, copied and checked.

    Raises ValueError for a state that is none: it may come from a file that anyone wrote.
    """
    if _FORM not in given:
        raise ValueError(f"{_FORM} is missing")
    text = bytes(given[_FORM].reshape(-1).to(torch.uint8).tolist()).decode("utf8", "replace")
    form, names = kernels.decode(text)
    if missing := [name for name in names if _buffer(name) not in given]:
        raise ValueError(f"{_buffer(missing[0])} is missing")
    if unknown := set(given) - {_FORM, "bias", *map(_buffer, names)}:
        raise ValueError(f"{sorted(unknown)[0]} is no part of it")
    # A copy: what was loaded may be a file that is mapped, or another module's.
    with torch.inference_mode(False):
        tensors = {name: given[_buffer(name)].detach().clone().contiguous() for name in names}
    weight, bias = restore(form, to_arrays(tensors)), given.get("bias")
    if bias is not None and (bias.shape != (weight.shape[1],) or not bias.is_floating_point()):
        raise ValueError(f"a bias {bias.dtype} {tuple(bias.shape)} does not fit {weight.shape[1]} outputs")
    return weight, bias


class Conv2d(_Kept):
    """A convolution on our kernel, of images (N, C, H, W) in float32, as `nn.Conv2d` without groups.

    >>> Conv2d(torch.nn.Conv2d(3, 8, 3, padding=1))(torch.ones(1, 3, 8, 8)).shape
    torch.Size([1, 8, 8, 8])
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        if reason := why_not(layer):
            raise ValueError(f"a convolution with {reason} is not one of our kernels'")
        with torch.inference_mode(False):
            self.register_buffer("weight", layer.weight.detach().clone())
            self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())
        self.stride, self.padding = list(layer.stride), [int(pad) for pad in layer.padding]

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        if input.ndim == 3:
            return self.forward(input[None])[0]
        return kernels.conv2d(input, self.weight, self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        """Show the sizes."""
        outputs, inputs, *size = self.weight.shape
        return f"{inputs}, {outputs}, kernel_size={tuple(size)}, stride={self.stride}, padding={self.padding}"


def why_not(layer: nn.Conv2d) -> str:
    """Say what of a convolution our kernel does not do, or nothing."""
    if layer.groups != 1:
        return f"groups={layer.groups}"
    if tuple(layer.dilation) != (1, 1):
        return f"dilation={layer.dilation}"
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return f"padding={layer.padding!r}, padding_mode={layer.padding_mode!r}"
    if layer.weight.dtype != torch.float32:
        return f"weights in {layer.weight.dtype}"
    return ""
