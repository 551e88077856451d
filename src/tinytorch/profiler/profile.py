"""One callable on this machine's roofline: called, counted, timed beside its roofs, and judged."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tinytorch.machine.quota import usable_cpus
from tinytorch.measure.beside import RoofsBeside
from tinytorch.measure.counting import Count, Interpreter, interpreter
from tinytorch.measure.counting.memory import blocks_in, distinct
from tinytorch.measure.counting.source_counter import SourceCount
from tinytorch.measure.inputs import Function, Inputs, Supply
from tinytorch.measure.latency import SMALLEST, latency
from tinytorch.measure.limits import Limits, limits
from tinytorch.measure.measurement import Measurement
from tinytorch.measure.overheads import call_overhead
from tinytorch.measure.roofline import SHOWN, Place, Roofline
from tinytorch.measure.timing import benchmark, compare, rest, unchecked
from tinytorch.measure.witness import held_off
from tinytorch.profiler.advice import recommend
from tinytorch.profiler.bounds import Bound, Evidence, judge
from tinytorch.profiler.conduct import watch
from tinytorch.profiler.costs import cost_of
from tinytorch.profiler.limiting import ThreadLimit
from tinytorch.runtime.arrays import FLOAT64, DType
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.errors import InputError
from tinytorch.simd.chains import LINE

#: Of `Profile.as_dict`; changes when a reader of it would have to.
SCHEMA = 1
#: How much higher a peak must be for its dtype to be named.
_HIGHER = 1.5
#: Seconds of a call from which it is called no more often than it must be.
_SLOW = 0.5
#: CPU time by wall time from which a call is said to use more than one thread.
_BUSY = 1.2
#: How large the inputs are made, of what was given, where they can be.
FACTORS = (0.125, 0.25, 0.5, 1.0)

#: What operations and bytes are, by what counted.
_KNOWN = {
    "stated": ("assumed: stated by the caller", "assumed: stated by the caller"),
    "declared": ("modelled: declared by the kernels", "modelled: declared by the kernels"),
    "hardware counters": (
        "measured: by the CPU's counters",
        "modelled: operations move arrays",
    ),
    "NumPy operations": ("modelled: counted, by a convention for each", "modelled: each moves its arrays"),
    "torch operations": ("modelled: counted, by a convention for each", "modelled: each moves its arrays"),
    "numba source": ("measured: counted in its source", "measured: distinct bytes that its source touches"),
    "bytes in and out": ("unknown", "modelled: arrays in and out move once"),
}
#: Operations that count as one, by NumPy's names, and take some dozens of instructions.
COSTLY = frozenset(
    (
        *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "power", "float_power", "cbrt", "hypot"),
        *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh"),
        *("arcsinh", "arccosh", "arctanh", "erf", "sigmoid", "gelu", "silu", "remainder", "fmod"),
    )
)

Tell = Callable[[str], None]
#: Makes the arguments at a size, 1 being the whole.
Scaled = Callable[[float], Sequence[Any]]


@dataclass(frozen=True)
class Size:
    """What a call took at another size."""

    factor: float
    seconds: float
    cost: Cost

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            **{"factor": self.factor, "seconds": self.seconds},
            **{"operations": self.cost.operations, "bytes": self.cost.bytes},
        }


@dataclass(frozen=True)
class Profile:
    """What was found out about one callable. Times in seconds, rates a second."""

    name: str
    measurement: Measurement
    count: Count
    roofline: Roofline
    place: Place
    bound: Bound
    evidence: Evidence
    recommendations: tuple[str, ...]
    busy: float  # CPU time by wall time
    interpreter: Interpreter | None
    by_threads: Mapping[int, Measurement]
    by_size: tuple[Size, ...]
    notes: tuple[str, ...]
    peak_unit: str  # which part of the CPU the peak is of
    provenance: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "kind": "tinytorch profile",
            "schema": SCHEMA,
            "name": self.name,
            "measurement": self.measurement.as_dict(),
            "count": self.count.as_dict(),
            "place": self.place.as_dict(),
            "roofline": {
                "dtype": str(self.roofline.dtype),
                "threads": self.roofline.threads,
                "peak": self.roofline.peak,
                "peak_unit": self.peak_unit,
                "bandwidths": {level: dict(by) for level, by in self.roofline.bandwidths.items()},
                "cache_ends": dict(self.roofline.ends),
            },
            "bound": {
                **{"kind": self.bound.kind, "name": self.bound.name, "share": self.bound.share},
                "reason": self.bound.reason,
            },
            "busy_cpus": self.busy,
            "interpreter": None if self.interpreter is None else self.interpreter.as_dict(),
            "threads": {str(count): m.as_dict() for count, m in self.by_threads.items()},
            "sizes": [size.as_dict() for size in self.by_size],
            "recommendations": list(self.recommendations),
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }

    def __str__(self) -> str:
        """Return what matters in a few lines."""
        from tinytorch.profiler.report import text

        return text(self.as_dict())


def profile(
    func: Function,
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    cost: Cost | None = None,
    dtype: Any = None,
    scaled: Scaled | None = None,
    name: str | None = None,
    seconds: float = 1.0,
    rounds: int = 300,
    known: Limits | None = None,
    tell: Tell = lambda _: None,
) -> Profile:
    """Call, count, time and judge a function of these arguments.

    `cost` states what a call does, where counting cannot know it, in `dtype`. `scaled(factor)` makes the
    arguments at a part of the size, to see how it scales, unless the cost is stated. `known` are limits that
    were measured before.

    What the function raises is raised. Raises ValueError for a `cost` that is not positive.

    >>> import numpy as np
    >>> profile(np.add, np.ones(1000), np.ones(1000), seconds=0.05).count.operations
    1000
    """
    _check(cost)
    given = dict(kwargs or {})
    name = name or str(getattr(func, "__name__", type(func).__name__))
    tell(f"calling {name}")
    conduct = watch(func, args, given)
    inputs: Inputs = "fresh" if conduct.changes_inputs else "same"
    tell(f"counting what {name} does")
    kind = None if dtype is None else np.dtype(dtype)
    copies = Supply("fresh", args, given)
    ((_, counted, counted_kwargs),) = copies.calls(func, 1)
    count, source = cost_of(func, counted, counted_kwargs, cost, kind)
    found = known or limits(tell)
    tell(f"timing {name} beside its roofs")
    brief = min(seconds, 1.0)
    busy = _busy(func, args, given, inputs)
    slow = conduct.seconds >= _SLOW
    by_threads = {} if slow else _by_threads(func, args, given, inputs, found.threads, brief)
    threads = found.threads if busy >= _BUSY else 1
    computed = count.dtype or _dtype_in(args) or FLOAT64
    working_set = _working_set(count, source, (args, given, conduct.result))
    with RoofsBeside(computed, threads, count.cost, working_set) as roofs:
        measurement = benchmark(
            func,
            *args,
            kwargs=given,
            seconds=seconds,
            rounds=rounds,
            inputs=inputs,
            on_sample=roofs.sample,
        )
        beside = roofs.reading()
    measurement = Measurement(name, measurement.samples, measurement.calls, measurement.disturbances)
    roofline = Roofline.of(found, computed, threads)
    place = roofline.place(count.cost, measurement.median, working_set, beside)
    tell("looking for what bounds it")
    # The source of a compiled function is not what the interpreter runs.
    python = None if source is not None else _interpreter(func, copies, measurement.median)
    evidence = _evidence(
        measurement.median, count, source, place, roofline, python, by_threads, threads, busy
    )
    bound = judge(evidence)
    by_size: tuple[Size, ...] = ()
    notes = list(_notes(conduct.notes, count, source, place))
    if slow:
        notes.append("it is slow: it was not tried on other numbers of threads, nor at other sizes")
    elif scaled is not None and cost is None:
        try:
            by_size = _by_size(func, scaled, given, kind, inputs, brief, tell)
        except Exception as error:
            notes.append(f"at other sizes it raised {type(error).__name__}: how it scales is not known")
    advice = recommend(bound, evidence, place, count, usable_cpus(), _higher(found, roofline))
    return Profile(
        name=name,
        measurement=measurement,
        count=count,
        roofline=roofline,
        place=place,
        bound=bound,
        evidence=evidence,
        recommendations=tuple(advice),
        busy=busy,
        interpreter=python,
        by_threads=by_threads,
        by_size=by_size,
        notes=tuple(notes),
        peak_unit=found.units[str(roofline.dtype)],
        provenance=_provenance(count, threads),
    )


def _higher(found: Limits, roofline: Roofline) -> list[str]:
    """Tell of dtypes whose peak is half as high again and more."""
    told = []
    for dtype, by in found.peaks.items():
        ratio = by[roofline.threads].value / roofline.peak
        if ratio >= _HIGHER:
            told.append(
                f"where {dtype} is exact enough: its peak is {ratio:.1f} times as high ({found.units[dtype]})"
            )
    return told


def _check(cost: Cost | None) -> None:
    if cost is not None and (min(cost.operations, cost.read, cost.written) < 0 or cost.bytes == 0):
        raise InputError(f"{cost}: operations and bytes must not be negative, and some bytes must move")


def _busy(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any], inputs: Inputs) -> float:
    """Return how many CPUs a call keeps busy, CPU time by wall time: the most of three times 20 ms of calls.

    Time in which others had this thread's CPU does not count, where the system tells of it.
    """
    supply = Supply(inputs, args, kwargs)
    rest()
    most = 0.0
    for _ in range(3):
        used = wall = held = 0.0
        while wall < 0.02:
            ((_, given, named),) = supply.calls(func, 1)
            before = held_off()
            begin, cpu = time.perf_counter(), time.process_time()
            func(*given, **named)
            used += time.process_time() - cpu
            wall += time.perf_counter() - begin
            held += held_off() - before
        most = max(most, used / max(wall - held, 1e-9))
        if wall >= _SLOW:
            break
    return most


def _dtype_in(args: tuple[Any, ...]) -> DType | None:
    """Return the dtype of the largest array among arguments."""
    arrays = [value for value in args if hasattr(value, "dtype") and hasattr(value, "nbytes")]
    kinds = [value.dtype for value in arrays if isinstance(value.dtype, np.dtype)]
    return max(kinds, key=lambda kind: kind.itemsize, default=None)


def _working_set(count: Count, source: SourceCount | None, arrays: Any) -> int:
    """Return the bytes of memory that a call touches, as far as is known.

    Not more than moves; and of what moves through temporary arrays, what the largest operation needs at once.
    """
    there = distinct(set(blocks_in(arrays))) or count.cost.bytes  # a call may bring its own memory
    at_once = max((-(-(e.read + e.written) // max(e.calls, 1)) for e in count.details), default=0)
    touched = min(count.cost.bytes, max(there, at_once)) or there
    return max(touched, LINE * source.lines) if source is not None else touched


def _interpreter(func: Function, copies: Supply, seconds: float) -> Interpreter | None:
    ((_, given, named),) = copies.calls(func, 1)
    return interpreter(func, given, named, seconds=seconds)


def _by_threads(
    func: Function,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    inputs: Inputs,
    most: int,
    seconds: float,
) -> dict[int, Measurement]:
    """Time a call with one thread and with all, side by side; nothing where there is one CPU."""
    if most == 1:
        return {}
    limit = ThreadLimit()
    within: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        str(count): partial(limit.within, count) for count in (1, most)
    }
    found = compare(
        dict.fromkeys(within, func),
        *args,
        kwargs=kwargs,
        check=unchecked,
        inputs=inputs,
        within=within,
        seconds=seconds / 2,
        rounds=60,
    )
    return {int(count): measurement for count, measurement in found.items()}


def _evidence(
    seconds: float,
    count: Count,
    source: SourceCount | None,
    place: Place,
    roofline: Roofline,
    python: Interpreter | None,
    by_threads: Mapping[int, Measurement],
    threads: int,
    busy: float,
) -> Evidence:
    calls = sum(entry.calls for entry in count.details)
    per_call = call_overhead(count.by == "declared").value if calls and count.by != "numba source" else 0.0
    gain = by_threads[1].median / by_threads[max(by_threads)].median if by_threads else None
    efficiency = gain / threads if gain is not None and threads > 1 else None
    dependent = per_load = waits = None
    if source is not None and source.loads:
        dependent = source.dependent_loads / source.loads
        if source.complete:
            per_load = seconds / source.loads
        if dependent:
            waits = latency(max(place.working_set, SMALLEST)).seconds
    return Evidence(
        seconds=seconds,
        compute=place.roof("compute").share if count.operations else None,
        memory=place.roof(place.level).share,
        level=SHOWN[place.level],
        dtype=str(roofline.dtype),
        interpreter=None if python is None else python.share,
        calls=calls,
        call_seconds=calls * per_call,
        threads=threads,
        efficiency=efficiency,
        dependent=dependent,
        per_load=per_load,
        latency=waits,
        busy=busy,
        gain=gain,
        costly=_costly(count),
    )


def _costly(count: Count) -> tuple[str, ...]:
    """Name the operations that are far from one instruction each, where they are a part that matters."""
    least = 0.1 * count.operations
    found = (e.name for e in count.details if e.name in COSTLY and e.operations >= least > 0)
    return tuple(dict.fromkeys(found))


def _by_size(
    func: Function,
    scaled: Scaled,
    kwargs: Mapping[str, Any],
    dtype: DType | None,
    inputs: Inputs,
    seconds: float,
    tell: Tell,
) -> tuple[Size, ...]:
    found = []
    for factor in FACTORS:
        tell(f"timing it at {factor:g} of the size")
        args = tuple(scaled(factor))
        count, _ = cost_of(func, tuple(scaled(factor)), kwargs, None, dtype)
        measured = compare(
            {"": func}, *args, kwargs=kwargs, check=unchecked, inputs=inputs, seconds=seconds / 4, rounds=25
        )[""]
        found.append(Size(factor, measured.median, count.cost))
    return tuple(found)


def _notes(
    conduct: tuple[str, ...], count: Count, source: SourceCount | None, place: Place
) -> tuple[str, ...]:
    notes = list(conduct)
    if count.note:
        notes.append(count.note)
    if count.uncounted:
        notes.append(f"operations not counted: {', '.join(count.uncounted)}")
    if source is not None and not source.complete:
        notes.append("its source was followed for the first loads and stores only: totals are not known")
    over = place.binding
    if over.share > 1.03:
        notes.append(
            f"it is at {over.share:.0%} of a roof: some of what was counted did not happen, or did not move"
        )
    return tuple(notes)


def _provenance(count: Count, threads: int) -> dict[str, str]:
    operations, moved = _KNOWN[count.by]
    return {
        "seconds": "measured: perf_counter, median of samples",
        "operations": operations,
        "bytes": moved,
        "peak": f"measured beside it: multiply-adds from registers on {threads} threads",
        "bandwidth": f"measured beside it: passes over as much memory on {threads} threads",
        "working_set": "modelled: arrays in and out, and the largest operation",
        "interpreter": "modelled: bytecodes traced in one call, at their measured cost",
        "call_overhead": "modelled: calls counted, each as long as an empty one, which was measured",
    }
