"""torch: its products are MKL's or oneDNN's, its dense layer also oneDNN's with bias and ReLU fused.

The fused one is what torch's compiler (inductor) calls for a frozen model; it packs the weight ahead. The
layer in int8 is what `quantize_dynamic` makes, with a scale for each output.
"""

import warnings

import torch
from torch.nn import functional

from benchmarks.inputs import Array, Arrays
from benchmarks.peers import Contender, Kept, not_offered
from benchmarks.suites import Case


def start(threads: int) -> None:
    """Set the number of threads, and record no gradients."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)


def make(case: Case, arrays: Arrays) -> dict[str, Contender]:
    """Return torch's calls."""
    a, out = _tensor(arrays.a), _tensor(arrays.out)
    match case.operation:
        case "product":
            b = _tensor(arrays.operands()[1])
            return {"torch": Contender(lambda: torch.mm(a, b, out=out))}
        case "fresh":
            b = _tensor(arrays.operands()[1])
            return {"torch": Contender(lambda: torch.mm(a, b), returns=True)}
        case "linear":
            return _layer(arrays)
        case "int8":
            layer = _quantize(*arrays.layer()[1:])
            return {"torch": Contender(lambda: layer(a), returns=True)}
        case "integer":
            codes = _tensor(arrays.operands()[1])
            return {"torch": Contender(lambda: torch._int_mm(a, codes, out=out))}
        case "relu":
            return {
                "torch": Contender(lambda: torch.clamp_min(a, 0, out=out)),
                "torch copy": Contender(lambda: out.copy_(a), role="copy"),
            }
    raise not_offered(case.operation, case.dtype)


def _layer(arrays: Arrays) -> dict[str, Contender]:
    x, bias = _tensor(arrays.a), _tensor(arrays.layer()[2])
    weight = _transpose(arrays.layer()[1])
    contenders = {
        "torch": Contender(lambda: functional.relu_(functional.linear(x, weight, bias)), returns=True)
    }
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, x.shape[0])
        fused = torch.ops.mkldnn._linear_pointwise
        fused(x, packed, bias, "relu", [], "")
    except (AttributeError, RuntimeError):  # a build without oneDNN
        return contenders
    contenders["torch fused"] = Contender(lambda: fused(x, packed, bias, "relu", [], ""), returns=True)
    return contenders


def _quantize_layer(weight: Array, bias: Array) -> torch.nn.Module:
    layer = torch.nn.Linear(*weight.shape)
    layer.weight.data = torch.from_numpy(weight.T.copy())
    layer.bias.data = torch.from_numpy(bias)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao is to be replaced by a package of its own
        return torch.ao.quantization.quantize_dynamic(
            torch.nn.Sequential(layer, torch.nn.ReLU()),
            {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig},
        )


_quantize = Kept(_quantize_layer)
# As torch.nn.Linear keeps it.
_transpose = Kept(lambda weight: torch.from_numpy(weight).T.contiguous())


def _tensor(array: Array) -> torch.Tensor:
    if array.dtype.name == "bfloat16":  # which torch does not know from NumPy
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)
