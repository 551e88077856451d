"""One declaration per kernel: tests, benchmarks and the ladder of `tito bench` are drawn from here.

An `Operation` says what must be computed (its reference, in float64 or integers), how far from it a result
may lie (its bound), what it costs, and which inputs are worth trying. Each `Rung` is one way to compute
it, from Python loops to what ships. A rung is declared beside its code:

    RELU = Operation("relu", ...)

    @RELU.rung("vectorized")
    def vectorized(x): ...
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import ml_dtypes
import numpy as np

from tinytorch.runtime.arrays import FLOAT32, SUPPORTED, Array, DType
from tinytorch.runtime.cost import Cost


@dataclass(frozen=True)
class Rung:
    """One way to compute an operation: `run(*inputs)` returns its result as an array or a dict of arrays."""

    name: str
    run: Callable[..., Any]
    reference: Callable[..., Any]
    bound: Callable[..., Any]
    dtypes: tuple[DType, ...]
    slow: bool  # Python loops: small inputs only
    summary: str
    #: `prepare(*inputs)` does what is done once per weight and returns what is done, and timed, per call.
    prepare: Callable[..., Callable[..., Any]]
    #: What a rung computes in that is none of ours, so that no kernel tells; its cost is the operation's.
    computed: DType | None = None
    mine: bool = False  # a learner's


@dataclass(frozen=True)
class Work:
    """What one call did: an operation, its cost, and the dtype that it was computed in."""

    operation: str
    cost: Cost
    dtype: DType


#: What tells of a call's work by its arguments, for the functions that `Operation.counts` declared.
COUNTED: dict[CodeType, Callable[[Mapping[str, Any]], Work]] = {}


@dataclass
class Operation:
    """What a family of kernels computes, and the ladder of them, slowest first.

    `inputs(rng, shape, dtype)` draws the arguments for one of `shapes`; `reference(*inputs)` is the exact
    result; `bound(*inputs)` the largest error allowed to each element of it (inf where none can be given:
    a sum that overflows); `cost(*inputs)` a `Cost`.
    """

    name: str
    inputs: Callable[[np.random.Generator, Any, DType], tuple[Any, ...]]
    reference: Callable[..., Any]
    bound: Callable[..., Any]
    cost: Callable[..., Cost]
    shapes: tuple[Any, ...]
    memory_bound: bool = False  # its speed is told in GB/s rather than GFLOP/s
    ladder: dict[str, Rung] = field(default_factory=dict)

    def counts(
        self,
        function: Callable[..., Any],
        inputs: Callable[..., tuple[Any, ...]],
        computed: Callable[..., DType] = np.result_type,
        cost: Callable[..., Cost] | None = None,
    ) -> None:
        """Declare that a call of `function` does this; `inputs` picks ours out of its arguments, by name.

        `computed(*inputs)` is the dtype that is multiplied and added in, `cost` the operation's own.
        """
        assert isinstance(function, FunctionType)
        names, price = tuple(inspect.signature(inputs).parameters), cost or self.cost

        def work(arguments: Mapping[str, Any]) -> Work:
            ours = inputs(*(arguments[name] for name in names))
            return Work(self.name, price(*ours), computed(*ours))

        COUNTED[function.__code__] = work

    def rung(
        self,
        name: str,
        *,
        dtypes: tuple[DType, ...] = SUPPORTED,
        reference: Callable[..., Any] | None = None,
        bound: Callable[..., Any] | None = None,
        slow: bool = False,
        prepare: Callable[..., Callable[..., Any]] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare the decorated function the next rung of the ladder.

        A rung that computes something else on purpose (a quantized one) brings a reference of its own.
        """

        def declare(run: Callable[..., Any]) -> Callable[..., Any]:
            summary = (run.__doc__ or "").strip().partition("\n")[0]
            exact, allowed = reference or self.reference, bound or self.bound
            self.ladder[name] = Rung(
                name, run, exact, allowed, dtypes, slow, summary, prepare or (lambda *_: run)
            )
            return run

        return declare


def operations() -> dict[str, Operation]:
    """Return every declared operation by name."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)], "tinytorch.ops."))
    declared = (value for name in modules for value in vars(importlib.import_module(name)).values())
    return {value.name: value for value in declared if isinstance(value, Operation)}


def mismatch(result: Any, exact: Any, bound: Any) -> str | None:
    """Say how `result` breaks its bound, or None if it holds. Non-finite values must be the same ones."""
    if isinstance(exact, Mapping):
        for key, part in exact.items():
            if not isinstance(result, Mapping) or key not in result:
                return f"there is no {key} in the result"
            wrong = mismatch(result[key], part, bound[key])
            if wrong:
                return f"{key}: {wrong}"
        return None
    result, exact = np.asarray(result), np.asarray(exact)
    if result.shape != exact.shape:
        return f"shape {result.shape} instead of {exact.shape}"
    if exact.dtype.kind in "iu":
        good = result == exact
    else:
        result = result.astype(np.float64)
        with np.errstate(invalid="ignore"):
            good = (
                (np.abs(result - exact) <= bound) | (result == exact) | (np.isnan(result) & np.isnan(exact))
            )
        good |= np.isinf(bound)
    if np.all(good):
        return None
    worst = np.unravel_index(int(np.argmin(good)), exact.shape)
    count, place = np.size(good) - np.count_nonzero(good), tuple(map(int, worst))
    allowed = np.broadcast_to(bound, exact.shape)[worst]
    return (
        f"{count} of {exact.size} elements are wrong; at {place} "
        f"{result[worst]!s} instead of {exact[worst]!s}, allowed error {allowed!s}"
    )


def product_bound(a: Array, b: Array, result: DType, steps: int) -> Array:
    """Return the error allowed to a sum of `steps` products: steps * eps * |a||b|, and the result's rounding.

    The classic bound of any order of summation is gamma_K |a||b| with gamma_K = K u / (1 - K u), u = eps/2
    (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1); K eps is twice that to
    first order. Each product may also underflow (half the smallest subnormal).
    """
    if result.kind in "iu":
        return np.zeros(())
    computed = np.finfo(np.float64 if result == np.float64 else np.float32)
    finite = [np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) for x in (a, b)]
    with np.errstate(over="ignore", invalid="ignore"):
        absolute = np.matmul(*map(np.abs, finite))
        error = (steps + 1) * (float(computed.eps) * absolute + float(computed.smallest_subnormal))
        bound = error + rounding(np.abs(np.matmul(*finite)) + error, result)
        # Where a sum may overflow on the way, anything may come of it.
        return np.where(absolute >= float(computed.max) / 2, np.inf, bound)


def rounding(magnitude: Array, result: DType) -> Array:
    """Return the error of one rounding to `result` of values up to `magnitude`; inf where they overflow."""
    info: Any = ml_dtypes.finfo(result)
    magnitude = np.asarray(magnitude, np.float64)
    error = magnitude * float(info.eps) + float(info.smallest_subnormal)
    return np.where(magnitude >= float(info.max) / 2, np.inf, error)


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    """Draw an array for tests and benchmarks: normal floats, or integers of the type's whole range."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    return rng.standard_normal(shape, FLOAT32 if dtype == FLOAT32 else np.float64).astype(dtype)
