"""Which exercise's function is a rung of which operation, and how it is called there.

Learners' kernels are held against the references and bounds of our own, but for what the course leaves open:
where one quantizes, it may divide in float32 or in float64, and values so near a tie that these two round
apart may come out either way; sums may be kept in float32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.bench.ladder import RungError
from tinytorch.course import calling
from tinytorch.ops.quantize import HIGHEST, LOWEST, calibrate, reference_codes
from tinytorch.ops.registry import Operation, Rung
from tinytorch.runtime.arrays import FLOAT32, INT8, Array, DType
from tinytorch.runtime.threads import get_num_threads

Function = Callable[..., Any]
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    """An exercise as a rung; `options(*inputs)` are given by name, after the operation's inputs."""

    operation: str
    options: Callable[..., Mapping[str, Any]] = lambda *_: {}
    like: str | None = None  # a rung of ours, of which it takes the reference
    besides: Callable[..., Any] | None = None  # what a learner's way may be off more than ours
    computed: DType = FLOAT32
    result: DType = FLOAT32


def _scale(x: Array) -> float:
    """Return the scale at which everything fits."""
    return float(calibrate(x, None, FLOAT32)[0])


def _apart(x: Array, scale: float) -> Array:
    """Return by how much codes may differ: 1 where division in float32 and in float64 round apart."""
    wide = np.clip(np.rint(x.astype(np.float64) / scale), LOWEST, HIGHEST)
    return np.abs(wide - reference_codes(x, scale))


def _product_apart(a: Array, b: Array) -> Array:
    scales = _scale(a), _scale(b)
    left, right = _apart(a, scales[0]), _apart(b, scales[1])
    if not (left.any() or right.any()):
        return np.zeros(())
    codes = [
        np.abs(reference_codes(x, scale)).astype(np.float64) for x, scale in zip((a, b), scales, strict=True)
    ]
    return (left @ codes[1] + codes[0] @ right + left @ right) * (scales[0] * scales[1])


def _sums_apart(x: Array, y: Array) -> dict[str, float]:
    """Return what sums kept in the inputs' precision may be off, in any order: n eps of the magnitudes'."""
    p, q = x.astype(np.float64), y.astype(np.float64)
    steps = x.size * float(np.finfo(x.dtype).eps)
    return {
        "euclidean_distance": steps * float(np.linalg.norm(p - q)),
        "dot_product": steps * float(np.sum(np.abs(p * q))),
    }


#: The functions of the course that are on a ladder.
ANSWERS: Mapping[str, Answer] = {
    "matmul_loops": Answer("matmul"),
    "cache_friendly_matmul": Answer("matmul"),
    "quantized_matmul": Answer(
        "matmul",
        options=lambda a, b: {"scale_A": _scale(a), "scale_B": _scale(b)},
        like="quantized",
        besides=_product_apart,
        computed=INT8,
    ),
    "vectorized_relu": Answer("relu"),
    "parallel_relu": Answer("relu", options=lambda x: {"num_workers": get_num_threads()}),
    "quantized_relu": Answer(
        "relu",
        options=lambda x: {"scale": _scale(x)},
        like="quantized",
        besides=lambda x: _apart(x, _scale(x)) * _scale(x),
    ),
    "vectorized_operations": Answer("vectorized_operations", besides=_sums_apart),
    "quantize": Answer("quantize", besides=_apart, result=INT8),
}


def rung(name: str, function: Function, operation: Operation) -> Rung:
    """Return the rung that an exercise's function is of its operation."""
    answer = ANSWERS[name]
    ours = operation.ladder[answer.like] if answer.like else None
    exact, bound = (ours.reference, ours.bound) if ours else (operation.reference, operation.bound)
    if answer.result == INT8:  # of integers the last one is asked for; those near a tie may differ
        exact = _as_floats(exact)
    besides = answer.besides

    def prepare(*inputs: Any) -> Function:
        call = partial(function, **answer.options(*inputs))

        def told(*args: Any) -> Any:
            try:
                return call(*args)
            except (Exception, SystemExit) as error:  # whatever a learner's code may raise
                raise RungError(made, f"it raised {calling.raised(error, _HERE)}") from error

        return told

    made = Rung(
        name=f"yours: {name}",
        run=function,
        reference=exact,
        bound=bound if besides is None else lambda *inputs: _sum(bound(*inputs), besides(*inputs)),
        dtypes=(FLOAT32,),
        slow=False,
        summary="The learner's.",
        prepare=prepare,
        computed=answer.computed,
        mine=True,
    )
    return made


def _sum(bound: Any, more: Any) -> Any:
    if isinstance(bound, Mapping):
        return {key: part + more.get(key, 0.0) for key, part in bound.items()}
    return bound + more


def _as_floats(reference: Function) -> Function:
    return lambda *inputs: reference(*inputs).astype(np.float64)
