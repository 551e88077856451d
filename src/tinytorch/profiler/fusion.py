"""Which operations of a sequence one pass could do, and what that saves: in bytes, and measured if we can.

An operation on its own reads what the one before wrote. Fused, what lies between stays in registers: the
sequence reads its inputs and writes its last result. Groups begin with a product or an elementwise operation
and take in the elementwise operations that follow; a reduction ends one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np

from tinytorch.measure.comparison import Comparison
from tinytorch.measure.roofline import Roofline
from tinytorch.measure.timing import compare
from tinytorch.ops import linear, matmul
from tinytorch.ops.elementwise import relu
from tinytorch.ops.registry import draw
from tinytorch.runtime.arrays import Array, DType, compute_dtype
from tinytorch.runtime.cost import Cost
from tinytorch.simd.activation import ACTIVATIONS

Kind = Literal["product", "elementwise", "reduction"]


@dataclass(frozen=True)
class Step:
    """What an operation is: its kind, operations per element, and the operand beside what comes to it."""

    kind: Kind
    operations: int
    operand: Literal["", "row", "array"] = ""  # a number for each column, or for each element


_ELEMENTWISE = {
    **dict.fromkeys(("relu", "abs", "negative", "square", "scale", "dropout", "cast"), 1),
    **dict.fromkeys(("sigmoid", "tanh", "silu", "gelu", "exp", "log", "sqrt", "clip"), 4),
}
#: Every operation that is known. Each counts as one per element, those with a polynomial as four.
STEPS: dict[str, Step] = {
    **dict.fromkeys(("matmul", "linear", "dense"), Step("product", 0)),
    **{name: Step("elementwise", count) for name, count in _ELEMENTWISE.items()},
    **dict.fromkeys(("bias", "bias_add"), Step("elementwise", 1, "row")),
    **dict.fromkeys(
        ("add", "subtract", "multiply", "mul", "divide", "maximum"), Step("elementwise", 1, "array")
    ),
    **dict.fromkeys(("sum", "mean", "max", "min"), Step("reduction", 1)),
    **dict.fromkeys(("softmax", "layer_norm", "layernorm"), Step("reduction", 5)),
}


@dataclass(frozen=True)
class Group:
    """Operations that one pass could do."""

    position: int
    names: tuple[str, ...]
    apart: tuple[Cost, ...]
    together: Cost

    @property
    def fused_apart(self) -> tuple[Cost, ...]:
        """The costs of what `ops.linear` does of it in one pass, from its beginning; none if fewer than 2."""
        taken = fused_part(self.names)[2]
        return self.apart[:taken] if taken > 1 else ()

    @property
    def savings(self) -> float:
        """Bytes apart by bytes together."""
        return sum(cost.bytes for cost in self.apart) / self.together.bytes

    @property
    def call(self) -> str | None:
        """Return the call of ours that does it, or its beginning, in one pass; None if there is none."""
        bias, activation, taken = fused_part(self.names)
        if taken < 2:
            return None
        given = ", bias" * bias + (f", activation={activation!r}" if activation else "")
        return f"ops.linear(x, weight{given})"


def known(sequence: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a sequence in lower case; ValueError for none at all or one that is not known."""
    if isinstance(sequence, str) or not sequence:
        raise ValueError(f"give the names of at least one operation, as ['matmul', 'relu'], not {sequence!r}")
    names = tuple(str(name).lower() for name in sequence)
    for name in names:
        if name not in STEPS:
            raise ValueError(f"operation {name!r} is not known; known are {', '.join(sorted(STEPS))}")
    return names


def groups(names: Sequence[str], shape: tuple[int, int, int], dtype: DType) -> list[Group]:
    """Return the groups of two operations and more of a sequence whose products are of shape (M, K, N).

    >>> [group.names for group in groups(["matmul", "relu", "sum", "exp"], (8, 8, 8), np.dtype("f4"))]
    [('matmul', 'relu', 'sum')]
    """
    found: list[tuple[int, tuple[str, ...]]] = []
    run: list[str] = []
    begin = 0
    for i, name in enumerate(names):
        if STEPS[name].kind == "product" and run:
            found.append((begin, tuple(run)))
            run = []
        begin = begin if run else i
        run.append(name)
        if STEPS[name].kind == "reduction":
            found.append((begin, tuple(run)))
            run = []
    if run:
        found.append((begin, tuple(run)))
    return [_group(begin, run, shape, dtype) for begin, run in found if len(run) > 1]


def costs(names: Sequence[str], shape: tuple[int, int, int], dtype: DType) -> list[Cost]:
    """Return what each operation costs on its own: it reads its inputs and writes its result."""
    return [_cost(name, shape, dtype) for name in names]


def _cost(name: str, shape: tuple[int, int, int], dtype: DType) -> Cost:
    rows, inner, columns = shape
    size, step = rows * columns, STEPS[name]
    if step.kind == "product":
        return Cost(
            2 * size * inner, (rows * inner + inner * columns) * dtype.itemsize, size * dtype.itemsize
        )
    operand = {"": 0, "row": columns, "array": size}[step.operand]
    written = rows if name in ("sum", "mean", "max", "min") else size
    return Cost(step.operations * size, (size + operand) * dtype.itemsize, written * dtype.itemsize)


def _group(begin: int, names: tuple[str, ...], shape: tuple[int, int, int], dtype: DType) -> Group:
    apart = costs(names, shape, dtype)
    between = sum(cost.written for cost in apart[:-1])  # each is written once and read once
    together = Cost(
        sum(cost.operations for cost in apart), sum(cost.read for cost in apart) - between, apart[-1].written
    )
    return Group(begin, names, tuple(apart), together)


def modelled_seconds(parts: Sequence[Cost], roofline: Roofline) -> float:
    """Return how long costs take one after the other, each at the roof that is lowest for it."""
    total = 0.0
    for cost in parts:
        place = roofline.place(cost, 1.0)
        total += max(place.roof("compute").seconds, place.roof(place.level).seconds)
    return total


def fused_part(names: Sequence[str]) -> tuple[bool, str | None, int]:
    """Return (bias, activation, how many operations) of what `ops.linear` does of a group in one pass.

    >>> fused_part(["matmul", "bias", "relu", "add"])
    (True, 'relu', 3)
    """
    if STEPS[names[0]].kind != "product":
        return False, None, 0
    rest = list(names[1:])
    bias = bool(rest) and STEPS[rest[0]].operand == "row"
    rest = rest[bias:]
    activation = rest[0] if rest and rest[0] in ACTIVATIONS else None
    return bias, activation, 1 + bias + (activation is not None)


def measure(group: Group, shape: tuple[int, int, int], dtype: DType, seconds: float) -> Comparison | None:
    """Time what our kernels can fuse of a group both ways, side by side; None if that is nothing.

    Apart, each operation is a kernel of ours or NumPy's, writing an array of its own.
    """
    bias, activation, taken = fused_part(group.names)
    if taken < 2:
        return None
    rng = np.random.default_rng(0)
    rows, inner, columns = shape
    x, weight = draw(rng, (rows, inner), dtype), draw(rng, (inner, columns), dtype)
    offsets = draw(rng, (columns,), dtype) if bias else None

    def apart(x: Array, weight: Array) -> Array:
        y = matmul(x, weight)
        if offsets is not None:
            y = np.add(y, offsets)
        return y if activation is None else _APART[activation](y)

    def fused(x: Array, weight: Array) -> Array:
        return linear(x, weight, offsets, activation)

    # Sums are of float32 or float64, each of `inner` roundings at most; then one to the dtype itself.
    summed = np.finfo(compute_dtype(dtype)).eps
    tolerance = 4 * (inner * float(summed) + float(ml_dtypes.finfo(dtype).eps))
    return compare({"apart": apart, "fused": fused}, x, weight, tolerance=tolerance, seconds=seconds)


def _sigmoid(y: Array) -> Array:
    return 1 / (1 + np.exp(-y))


def _gelu(y: Array) -> Array:
    inner = y.dtype.type(math.sqrt(2 / math.pi)) * (y + y.dtype.type(0.044715) * y * y * y)
    return y.dtype.type(0.5) * y * (1 + np.tanh(inner))


#: Activations as separate operations.
_APART: dict[str, Callable[[Array], Any]] = {
    "relu": relu,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "silu": lambda y: y * _sigmoid(y),
    "gelu": _gelu,
}
