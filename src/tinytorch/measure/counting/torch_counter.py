"""Counts what torch operations a call runs: each is seen where torch hands it to its kernels.

Products, convolutions and attention by the formulas of torch's own flop counter, where an operator can be
registered (`torch.utils.flop_counter.register_flop_formula`), and an addition an element for a fused bias;
elementwise operations one an element of the result, reductions n - 1 for n elements into one, moves and views
none. Normalizations and softmax are the elementwise operations and reductions they are made of. Any other
operator has its bytes counted and is reported by name. Needs `torch`.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from tinytorch.measure.counting.count import Count, DType, Tally
from tinytorch.measure.counting.memory import Block, blocks_in, distinct
from tinytorch.measure.counting.rebinding import closed_over

#: Reductions of n elements into r, marked by torch or not: operations for an element, and for a result.
_REDUCTIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("sum", "nansum", "prod", "any", "all", "max", "min", "amax", "amin"), (1, -1)),
    **{"argmax": (1, -1), "argmin": (1, -1), "mean": (1, 0), "linalg_vector_norm": (2, 0), "norm": (2, 0)},
    **{"var": (4, 0), "var_mean": (4, 0), "std": (4, 1), "std_mean": (4, 1), "logsumexp": (4, 0)},
}
_MOVES = """
    clone copy copy_ _to_copy _copy_from cat stack where masked_fill masked_fill_ fill fill_ zero_ lift_fresh
    scatter scatter_ slice_scatter select_scatter constant_pad_nd reflection_pad1d reflection_pad2d repeat
    roll flip tril triu zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full arange eye
    scalar_tensor masked_select masked_scatter index_put index_put_ _unsafe_index_put index_copy index_fill
    _local_scalar_dense split_with_sizes_copy unbind_copy permute_copy expand_copy view_copy pixel_shuffle
    channel_shuffle im2col repeat_interleave upsample_nearest1d upsample_nearest2d upsample_nearest3d
"""
_GATHERS = ("embedding", "index", "_unsafe_index", "gather", "index_select", "take")
#: Operators that leave nothing in memory that anyone may read.
_EMPTY = (
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "resize_",
    "set_",
    "detach_",
)
#: Operators that overwrite their first argument without reading it.
_OVERWRITES = ("copy_", "fill_", "zero_", "uniform_", "normal_", "bernoulli_", "random_", "exponential_")
_STILL = frozenset((*_MOVES.split(), *_GATHERS, *_EMPTY))


def involves_torch(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call has tensors or modules among its arguments or in what the function brings along.

    >>> involves_torch(sum, ([1, 2],), {})
    False
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    seen: set[int] = set()
    waiting: list[Any] = [args, kwargs, *closed_over(func)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor | torch.nn.Module):
            return True
        if isinstance(value, list | tuple | dict) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return False


def count_torch(
    func: Callable[..., Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
) -> tuple[Count | None, Any]:
    """Call `func` once; return what torch did in it, in this thread, and its result.

    The count is None if no operator of torch ran. What `func` raises is raised; ImportError without torch.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    tally = Tally()

    class Counting(TorchDispatchMode):
        """Sees every operator on its way to the kernel."""

        def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            """Run and count an operator; one that torch makes of others is counted as those."""
            kwargs = kwargs or {}
            if _operations(op) is None and hasattr(op, "decompose"):
                with self:
                    result = op.decompose(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            # Before the call: an operator may change its arguments' shapes.
            read, changed = _operands(op, args, kwargs)
            result = op(*args, **kwargs)
            _note(tally, op, args, kwargs, result, read, changed)
            return result

    with Counting():
        result = func(*args, **(kwargs or {}))
    return (tally.count("torch operations") if tally.calls else None), result


def _operands(op: Any, args: Any, kwargs: Any) -> tuple[list[list[Block]], list[Block]]:
    """Return where each argument lies that is read, and where those lie that are written."""
    schema = getattr(op, "_schema", None)
    named = list(zip((a.name for a in schema.arguments), args, strict=False)) if schema else [("", args)]
    named += kwargs.items()
    writes = {a.name: a.kwarg_only for a in schema.arguments if _is_written(a)} if schema else {}
    read, changed = [], []
    for name, value in named:
        blocks = list(blocks_in(value))
        if name in writes:
            changed += blocks
        # What is given as `out=` is not read.
        if not (name in writes and (writes[name] or _name(op) in _OVERWRITES)):
            read.append(blocks)
    return read, changed


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _note(
    tally: Tally, op: Any, args: Any, kwargs: Any, result: Any, read: list[list[Block]], changed: list[Block]
) -> None:
    name, operations = _name(op), _operations(op)
    dtype = _dtype(result, args)
    made = list(blocks_in(result))
    given = [block for blocks in read for block in blocks]
    if name in _EMPTY or (not changed and made and all(any(_within(m, g) for g in given) for m in made)):
        tally.add(name, dtype)  # memory that is only reserved, or a view
        return
    if name in _GATHERS:
        given = [block for blocks in read[1:] for block in blocks]
        source = min(distinct(read[0]), distinct(made)) if read else 0
    else:
        source = 0
    done = None if operations is None else operations(args, kwargs, result)
    if done is None:
        tally.leave_out(str(op))
    tally.add(name, dtype, done or 0, source + distinct(given), distinct([*made, *changed]))


def _within(inner: Block, outer: Block) -> bool:
    (low, high), (begin, end) = inner.bounds, outer.bounds
    return begin <= low and high <= end and begin < end


def _name(op: Any) -> str:
    return getattr(op, "_overloadpacket", op).__name__ if hasattr(op, "_overloadpacket") else str(op)


Formula = Callable[[Any, Any, Any], int | None]


def _operations(op: Any) -> Formula | None:
    """Return what counts an operator's operations, or None if nothing does."""
    from torch.utils.flop_counter import flop_registry

    packet, name = getattr(op, "_overloadpacket", op), _name(op)
    if packet in flop_registry:
        product = flop_registry[packet]
        return lambda args, kwargs, result: (
            int(product(*args, **kwargs, out_val=result)) + _bias(name, args, kwargs, result)
        )
    if getattr(op, "namespace", None) != "aten":
        return None
    if name in _STILL or getattr(op, "is_view", False):
        return lambda args, kwargs, result: 0
    return _FORMULAS.get(name) or _marked(op, name)


def _marked(op: Any, name: str) -> Formula | None:
    """Count an operator by the mark that torch gives it: a reduction or elementwise."""
    import torch

    tags = getattr(op, "tags", ())
    if name in _REDUCTIONS or getattr(torch.Tag, "reduction", None) in tags:
        each, last = _REDUCTIONS.get(name, (1, -1))
        return lambda args, kwargs, result: max(0, each * _size(args[0]) + last * _size(result))
    if torch.Tag.pointwise in tags:
        return lambda args, kwargs, result: _size(result)
    return None


def _size(value: Any) -> int:
    """Return the number of elements of a tensor, or of the first of several."""
    while isinstance(value, list | tuple):
        if not value:
            return 0
        value = value[0]
    return int(value.numel()) if hasattr(value, "numel") else 1


def _bias(name: str, args: Any, kwargs: Any, result: Any) -> int:
    """Return the additions of a bias that is fused into a product or a convolution."""
    if name in ("addmm", "baddbmm"):
        return _size(result)
    if name in ("convolution", "_convolution"):
        return _size(result) if (args[2] if len(args) > 2 else kwargs.get("bias")) is not None else 0
    return 0


def _matrix_vector(args: Any, kwargs: Any, result: Any) -> int:
    return 2 * _size(args[0])


def _added_matrix_vector(args: Any, kwargs: Any, result: Any) -> int:
    return 2 * _size(args[1]) + _size(result)


def _attention(args: Any, kwargs: Any, result: Any) -> int:
    """Two products for each head: queries by keys, weights by values."""
    query, key, value = args[:3]
    *batch, rows, width = query.shape
    return 2 * math.prod(batch) * rows * key.shape[-2] * (width + value.shape[-1])


def _rows(tensor: Any, dim: int) -> int:
    return tensor.numel() // max(1, tensor.shape[dim]) if tensor.dim() else 1


def _softmax(args: Any, kwargs: Any, result: Any) -> int:
    """Largest, difference, exp, sum and quotient of each row."""
    return 5 * _size(args[0]) - 2 * _rows(args[0], args[1])


def _log_softmax(args: Any, kwargs: Any, result: Any) -> int:
    """Largest, difference, exp, sum, logarithm and difference of each row."""
    return 5 * _size(args[0]) - _rows(args[0], args[1])


def _running(args: Any, kwargs: Any, result: Any) -> int:
    return _size(args[0]) - _rows(args[0], args[1])


def _normalized(n: int, rows: int, weight: Any, bias: Any) -> int:
    """Mean, difference, variance, epsilon, root and quotient; weight and bias if there are."""
    return n * (5 + (weight is not None) + (bias is not None)) + 2 * rows


def _layer_norm(args: Any, kwargs: Any, result: Any) -> int:
    x, shape, weight, bias = args[:4]
    return _normalized(_size(x), _size(x) // max(1, math.prod(shape)), weight, bias)


def _group_norm(args: Any, kwargs: Any, result: Any) -> int:
    x, weight, bias, batch, _, _, groups = args[:7]
    return _normalized(_size(x), batch * groups, weight, bias)


def _batch_norm(args: Any, kwargs: Any, result: Any) -> int:
    if args[5]:
        return _normalized(_size(args[0]), args[0].shape[1], args[1], args[2])
    return _fixed_batch_norm(args, kwargs, result)


def _fixed_batch_norm(args: Any, kwargs: Any, result: Any) -> int:
    """Difference from the mean and quotient; weight and bias if there are."""
    x, weight, bias = args[:3]
    return _size(x) * (2 + (weight is not None) + (bias is not None)) + 2 * x.shape[1]


def _window(args: Any, dims: int) -> int:
    kernel = list(args[1])
    return math.prod(kernel * dims if len(kernel) == 1 else kernel)


def _max_pool(args: Any, kwargs: Any, result: Any) -> int:
    return _size(result) * (_window(args, 2) - 1)


def _average_pool(args: Any, kwargs: Any, result: Any) -> int:
    return _size(result) * _window(args, 2)


_FORMULAS: dict[str, Formula] = {
    **dict.fromkeys(("mv", "dot", "vdot"), _matrix_vector),
    **{"addmv": _added_matrix_vector, "_scaled_dot_product_flash_attention_for_cpu": _attention},
    **{
        "_softmax": _softmax,
        "_safe_softmax": _softmax,
        "_log_softmax": _log_softmax,
        "cumsum": _running,
        "cumprod": _running,
    },
    **{"native_layer_norm": _layer_norm, "native_group_norm": _group_norm, "native_batch_norm": _batch_norm},
    **{"_native_batch_norm_legit_no_training": _fixed_batch_norm},
    **{"max_pool2d_with_indices": _max_pool, "avg_pool2d": _average_pool},
}


def _dtype(*values: Any) -> DType | None:
    """Return NumPy's dtype of the first tensor, where it has one."""
    for value in values:
        if isinstance(value, list | tuple):
            if (found := _dtype(*value)) is not None:
                return found
        elif hasattr(value, "numel"):
            name = str(value.dtype).removeprefix("torch.")
            own: Iterable[Any] = (getattr(np, name, None), getattr(ml_dtypes, name, None))
            return next((np.dtype(kind) for kind in own if isinstance(kind, type)), None)
    return None
