"""Our kernels as operators of torch: `torch.ops.tinytorch.linear` and `conv2d`.

An operator is told of a packed weight by its tensors and its form, a JSON text: constants of a traced graph.
The packed weight itself is made of them when they are first seen, and kept as long as the tensors live.
"""

import contextlib
import ctypes
import functools
import json
import weakref
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, cast

import threadpoolctl
import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula
from torch.utils.weak import WeakIdKeyDictionary

from tinytorch.ops.conv2d import conv2d as our_conv2d
from tinytorch.ops.linear import linear as our_linear
from tinytorch.ops.weights.base import PackedWeight, restore
from tinytorch.runtime import pool
from tinytorch.runtime.arrays import FLOAT32, HALVES, Array, convert
from tinytorch.runtime.threads import set_num_threads
from tinytorch.torch.arrays import to_array, to_arrays, to_tensor

_NAMESPACE = "tinytorch"
_known: Any = WeakIdKeyDictionary()  # first tensor of a weight: (versions, form, all its tensors, weight)
_torch_threads = 0


def follow_threads() -> None:
    """Use torch's own threads, and as many as it does whenever its number has changed."""
    global _torch_threads  # noqa: PLW0603
    count = torch.get_num_threads()
    if count != _torch_threads:
        _torch_threads = count
        set_num_threads(count)
        pool.current().join(_parallel())


@functools.cache
def _parallel() -> int:
    """Return where the `GOMP_parallel` of torch's OpenMP library is; 0 if it has none."""
    own = str(Path(torch.__file__).parent)
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "openmp" and library["filepath"].startswith(own):
            with contextlib.suppress(OSError, AttributeError):
                found = ctypes.CDLL(library["filepath"]).GOMP_parallel
                return ctypes.cast(found, ctypes.c_void_p).value or 0
    return 0


def encode(weight: PackedWeight) -> str:
    """Return a weight's form as text, with the names of its arrays in their order."""
    return json.dumps({"form": weight.form, "names": list(weight.arrays())}, sort_keys=True)


def decode(text: str) -> tuple[dict[str, Any], list[str]]:
    """Return a form and the names of its arrays; ValueError if the text is no form."""
    form = names = None
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # told of below
        found = json.loads(text)
        form, names = found["form"], found["names"]
    if (
        not isinstance(form, dict)
        or not isinstance(names, list)
        or not all(isinstance(n, str) for n in names)
    ):
        raise ValueError("this is not the form of a packed weight")
    return form, names


@functools.lru_cache(maxsize=4096)
def _shape(form: str) -> tuple[int, int]:
    inner, columns = decode(form)[0]["shape"]
    return int(inner), int(columns)


def weight_of(parts: Sequence[Tensor], form: str) -> PackedWeight:
    """Return the weight that tensors and a form are, made anew if the tensors have changed."""
    version = sum(0 if part.is_inference() else part._version for part in parts)
    found = _known.get(parts[0])
    same = found is not None and found[:2] == (version, form)
    if same and all(known() is part for known, part in zip(found[2], parts, strict=True)):
        return cast(PackedWeight, found[3])
    described, names = decode(form)
    weight = restore(described, to_arrays(dict(zip(names, parts, strict=True))))
    _known[parts[0]] = version, form, [weakref.ref(part) for part in parts], weight
    return weight


def run_linear(x: Tensor, weight: PackedWeight, bias: Array | None) -> Tensor:
    """Return x (..., in) times a weight, plus a bias, as a tensor of the dtype of x.

    Raises TypeError unless x is a float tensor on the CPU, ValueError unless its last dimension fits.
    """
    if not (x.is_cpu and x.is_floating_point()):
        raise TypeError(f"x must be a float tensor on the CPU; it is {x.dtype} on {x.device}")
    if not x.ndim:
        raise ValueError(f"x must be (..., {weight.shape[0]}); it is a single number")
    follow_threads()
    given = to_array(x)
    rows = convert(given, FLOAT32) if given.dtype in HALVES else given
    flat = rows if rows.ndim == 2 or not rows.size else rows.reshape(-1, rows.shape[-1])
    result = our_linear(flat, weight, bias)
    shaped = result if rows.ndim == 2 else result.reshape(*rows.shape[:-1], weight.shape[1])
    return to_tensor(convert(shaped, given.dtype))


@torch.library.custom_op(f"{_NAMESPACE}::linear", mutates_args=(), device_types="cpu")
def linear(x: Tensor, parts: list[Tensor], bias: Tensor | None, form: str) -> Tensor:
    """x (..., in) times a packed weight, plus a bias."""
    return run_linear(x, weight_of(parts, form), None if bias is None else to_array(bias))


@linear.register_fake
def _(x: Tensor, parts: list[Tensor], bias: Tensor | None, form: str) -> Tensor:
    return x.new_empty((*x.shape[:-1], _shape(form)[1]))


@register_flop_formula(torch.ops.tinytorch.linear)
def _(x: Any, parts: Any, bias: Any, form: str, out_shape: Any = None, **_: Any) -> int:
    """Count as torch counts its own: shapes for tensors; sums of a bias once more."""
    return int(2 * prod(x) * out_shape[-1] + (prod(out_shape) if bias is not None else 0))


@torch.library.custom_op(f"{_NAMESPACE}::linear_backward", mutates_args=(), device_types="cpu")
def linear_backward(gradient: Tensor, parts: list[Tensor], form: str) -> Tensor:
    """The gradient by x: that of the result times the weight, turned."""
    values = weight_of(parts, form).values()
    return torch.matmul(gradient, torch.from_numpy(values.astype("float32").T).to(gradient.dtype))


@linear_backward.register_fake
def _(gradient: Tensor, parts: list[Tensor], form: str) -> Tensor:
    return gradient.new_empty((*gradient.shape[:-1], _shape(form)[0]))


@register_flop_formula(torch.ops.tinytorch.linear_backward)
def _(gradient: Any, parts: Any, form: str, out_shape: Any = None, **_: Any) -> int:
    return int(2 * prod(gradient) * out_shape[-1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, parts, bias, form = inputs
    ctx.save_for_backward(*parts)
    ctx.form, ctx.biased = form, bias is not None


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    parts = list(ctx.saved_tensors)
    by_x = linear_backward(gradient, parts, ctx.form) if ctx.needs_input_grad[0] else None
    by_bias = None
    if ctx.biased and ctx.needs_input_grad[2]:
        by_bias = gradient.reshape(-1, gradient.shape[-1]).sum(dim=0)
    return by_x, [None] * len(parts), by_bias, None


linear.register_autograd(_backward, setup_context=_keep)


@torch.library.custom_op(f"{_NAMESPACE}::conv2d", mutates_args=(), device_types="cpu")
def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """Cross-correlation of images (N, C, H, W)."""
    if not x.is_floating_point():
        raise TypeError(f"x must be a float tensor; it is {x.dtype}")
    follow_threads()
    given = (x.detach(), weight.detach(), None if bias is None else bias.detach())
    result = cast(Tensor, our_conv2d(*given, stride=tuple(stride), padding=tuple(padding)))
    return result.to(x.dtype)


@conv2d.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    sizes = zip(x.shape[2:], weight.shape[2:], stride, padding, strict=True)
    return x.new_empty(
        (
            x.shape[0],
            weight.shape[0],
            *((size + 2 * pad - kernel) // step + 1 for size, kernel, step, pad in sizes),
        )
    )


@register_flop_formula(torch.ops.tinytorch.conv2d)
def _(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, out_shape: Any = None, **_: Any) -> int:
    return int(2 * prod(out_shape) * prod(weight[1:]) + (prod(out_shape) if bias is not None else 0))


def _keep_conv(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, stride, padding = inputs
    ctx.save_for_backward(x, weight)
    ctx.rest = list(stride), list(padding), None if bias is None else [len(bias)]


def _conv_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    stride, padding, sizes = ctx.rest
    needed = [*ctx.needs_input_grad[:2], sizes is not None and ctx.needs_input_grad[2]]
    arguments = (gradient, x, weight, sizes, stride, padding, [1, 1], False, [0, 0], 1, needed)
    return (*torch.ops.aten.convolution_backward(*arguments), None, None)


conv2d.register_autograd(_conv_backward, setup_context=_keep_conv)
