"""Climb the ladders: time every rung of every operation against the others, on shapes that show why.

Operations, rungs, references and costs come from `ops.registry`; here is only which shapes are shown.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.measure.beside import RoofsBeside
from tinytorch.measure.limits import Limits
from tinytorch.measure.measurement import Measurement
from tinytorch.measure.roofline import Place, Roofline
from tinytorch.measure.timing import Effort, compare
from tinytorch.ops.registry import Operation, Rung, mismatch, operations
from tinytorch.ops.watching import watching
from tinytorch.runtime.arrays import FLOAT32, DType
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.errors import WrongResultError

#: What is shown of each operation: (operation, shape, shape under --quick, with Python loops).
CASES: tuple[tuple[str, Any, Any, bool], ...] = (
    ("matmul", (256, 256, 256), (128, 128, 128), True),
    ("matmul", (1024, 1024, 1024), (512, 512, 512), False),
    ("linear", (64, 768, 3072), (64, 384, 1536), False),
    ("relu", (1_000_000,), (300_000,), True),
    ("vectorized_operations", (1_000_000,), (300_000,), True),
    # (N, C, H, W, O, kh, kw, stride, padding)
    ("conv2d", (1, 16, 32, 32, 32, 3, 3, 1, 1), (1, 8, 24, 24, 16, 3, 3, 1, 1), True),
    ("conv2d", (8, 64, 28, 28, 64, 3, 3, 1, 1), (2, 32, 28, 28, 32, 3, 3, 1, 1), False),
    ("quantize", (1_000_000,), (300_000,), True),
)


@dataclass(frozen=True)
class Step:
    """One rung, measured."""

    rung: Rung
    measurement: Measurement
    rate: float  # operations or bytes a second
    against_bottom: float  # times faster than the lowest rung shown
    against_numpy: float
    cost: Cost  # its own: a quantized rung moves other bytes than the operation
    dtype: DType  # what it multiplies and adds in
    place: Place
    against_earlier: float | None = None  # of a learner's: by their earlier best, each against NumPy's


class RungError(WrongResultError):
    """A rung computed something else than it should, or raised; it is not timed."""

    def __init__(self, rung: Rung, why: str) -> None:
        super().__init__(f"{rung.name}: {why}")
        self.rung, self.why = rung, why


@dataclass(frozen=True)
class Ladder:
    """One operation at one shape, every rung of it."""

    operation: Operation
    shape: Any
    cost: Cost
    steps: tuple[Step, ...]
    threads: int  # of the roofs that it is held against

    @property
    def unit(self) -> str:
        """What the rates are told in."""
        return "GB/s" if self.operation.memory_bound else "GFLOP/s"

    @property
    def title(self) -> str:
        """Operation and shape."""
        return title(self.operation, self.shape)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "operation": self.operation.name,
            "shape": list(self.shape),
            "dtype": str(FLOAT32),
            "operations": self.cost.operations,
            "bytes": self.cost.bytes,
            "unit": self.unit,
            "roof_threads": self.threads,
            "rungs": [
                {
                    **step.measurement.as_dict(),
                    "rate": step.rate / 1e9,
                    "against_bottom": step.against_bottom,
                    "against_numpy": step.against_numpy,
                    "computed_in": str(step.dtype),
                    "place": step.place.as_dict(),
                    **({"mine": True, "against_earlier": step.against_earlier} if step.rung.mine else {}),
                }
                for step in self.steps
            ],
        }


def climb(quick: bool, effort: Effort, limits: Limits, tell: Callable[[str], None]) -> Iterator[Ladder]:
    """Yield each ladder as it is measured, its roofs beside it; `tell` hears what is being done.

    Raises RungError if a rung's result breaks its bound.
    """
    known = operations()
    for name, shape, quick_shape, with_loops in CASES:
        rungs = shown(known[name], with_loops)
        yield measure(known[name], quick_shape if quick else shape, rungs, effort, limits, tell)


def shown(operation: Operation, with_loops: bool) -> list[Rung]:
    """Return the rungs of ours that are shown of an operation, lowest first."""
    return [
        rung for rung in operation.ladder.values() if FLOAT32 in rung.dtypes and (with_loops or not rung.slow)
    ]


def title(operation: Operation, shape: Any) -> str:
    """Return what a ladder is called: operation and shape."""
    return f"{operation.name} {' x '.join(map(str, shape))}"


def drawn(operation: Operation, shape: Any) -> tuple[Any, ...]:
    """Return the inputs of a shape, the same every time."""
    return operation.inputs(np.random.default_rng(0), shape, FLOAT32)


def measure(
    operation: Operation,
    shape: Any,
    climbed: Iterable[Rung],
    effort: Effort,
    limits: Limits,
    tell: Callable[[str], None],
) -> Ladder:
    """Time rungs of an operation, "numpy" among them, against each other and the roofs beside them.

    Raises RungError if a rung's result breaks its bound.
    """
    rungs = {rung.name: rung for rung in climbed}
    inputs = drawn(operation, shape)
    cost = operation.cost(*inputs)
    tell(f"{operation.name} {shape}: compiling and checking")

    def check(name: str, result: Any) -> str | None:
        tell(f"{operation.name} {shape}: {name} checked against the reference")
        wrong = mismatch(result, rungs[name].reference(*inputs), rungs[name].bound(*inputs))
        if wrong:
            raise RungError(rungs[name], wrong)
        return None

    functions = {name: rung.prepare(*inputs) for name, rung in rungs.items()}
    own = {
        name: (cost, computed) if (computed := rungs[name].computed) else _own_cost(function, inputs, cost)
        for name, function in functions.items()
    }
    threads = limits.threads
    with ExitStack() as stack:
        roofs = {
            key: stack.enter_context(RoofsBeside(key[1], threads, key[0], key[0].bytes))
            for key in dict.fromkeys(own.values())
        }

        def sampled(name: str) -> None:
            tell(f"{operation.name} {shape}: {name}")
            roofs[own[name]].sample()

        measured = compare(functions, *inputs, check=check, **effort, on_sample=sampled)
        beside = {key: found.reading() for key, found in roofs.items()}
    medians = {name: measurement.median for name, measurement in measured.items()}
    bottom = next(iter(medians.values()))
    work = cost.bytes if operation.memory_bound else cost.operations
    steps = []
    for name, time in medians.items():
        spent, dtype = own[name]
        place = Roofline.of(limits, dtype, threads).place(spent, time, beside=beside[spent, dtype])
        against = bottom / time, medians["numpy"] / time
        steps.append(Step(rungs[name], measured[name], work / time, *against, spent, dtype, place))
    return Ladder(operation, shape, cost, tuple(steps), threads)


def _own_cost(function: Callable[..., Any], inputs: tuple[Any, ...], cost: Cost) -> tuple[Cost, DType]:
    """Return what a rung does, and in which dtype: as its kernels declare, else as the operation does."""
    with watching() as seen:
        function(*inputs)
    if not seen:
        return cost, FLOAT32
    main = max(seen, key=lambda work: work.cost.operations)
    return main.cost, main.dtype
