"""Times that can be compared: warmed up, interleaved, repeated, and kept as raw samples.

Machines drift and are shared: two functions timed one after the other are timed on two machines. Here each
round times every function once, in random order, so that what disturbs one disturbs all; before each
sample comes a rest until no thread of the last function runs, and some untimed calls.
"""

import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypedDict

from tinytorch.measure import agreement
from tinytorch.measure.clocks import Clock, clock_for
from tinytorch.measure.comparison import Comparison
from tinytorch.measure.copies import duplicate
from tinytorch.measure.inputs import Function, Inputs, Supply, flush, leaves, nbytes, same_arrays
from tinytorch.measure.measurement import Measurement
from tinytorch.measure.witness import Witness, switches
from tinytorch.runtime.errors import WrongResultError

#: A sample lasts about this long: 4 ms is 40,000 times the clock's step and shorter than a time slice.
SAMPLE_SECONDS = 4e-3
#: Calls before a sample, for about this long: what the other functions left in the caches is replaced.
WARM_SECONDS = 1e-3
#: A call that takes so long needs none before it: what it finds in the caches is no part of its time.
SLOW_SECONDS = 0.05
MIN_SAMPLES = 3
#: How long a rest may be. The threads of a BLAS or OpenMP library may spin on after a call, on the CPUs that
#: the next function needs: OpenBLAS's for 110 ms.
REST_SECONDS = 0.2
_LOOK_SECONDS = 5e-4

#: Bytes of inputs up to which it is looked whether a function changes them.
_LOOKED_AT = 64 << 20

Check = Callable[[str, Any], str | None]


class Effort(TypedDict):
    """How long `compare` may try: options that callers pass on."""

    seconds: float  # per function
    rounds: int


def benchmark(func: Function, *args: Any, **options: Any) -> Measurement:
    """Time one function: `compare` of it alone, with the same options.

    >>> benchmark(sum, [1, 2, 3], seconds=0.01).median < 1
    True
    """
    name = getattr(func, "__name__", type(func).__name__) if callable(func) else "func"
    return compare({name: func}, *args, **options)[name]


def compare(
    functions: Mapping[str, Function],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    reference: Any = None,
    check: Check | None = None,
    tolerance: float | None = None,
    seconds: float = 1.8,
    rounds: int = 300,
    inputs: Inputs = "same",
    flushed: bool = False,
    within: Mapping[str, Callable[[], AbstractContextManager[Any]]] | None = None,
    on_sample: Callable[[str], None] | None = None,
) -> Comparison:
    """Time functions of the same arguments against each other; their results are compared before.

    What a result should be says `check(name, result)`, which returns what is wrong or None; or `reference`,
    a result or a function of the arguments; or else the first function. `tolerance` is relative to the
    largest value (`agreement.difference`).

    Each function gets up to `rounds` samples, and after the third no more once it has used `seconds`.
    `inputs` are the "same" arrays at each call; "fresh" copies, for functions that change them; or "rotated"
    among copies that no cache holds. `flushed` empties the caches before each call. `within` are contexts by
    name, entered around each sample of a function: a number of threads, a setting.

    Raises WrongResultError naming the function whose result is wrong, ValueError for options that cannot be,
    TypeError for what is no function.

    >>> sorted(compare({"sum": sum, "max": max}, [1, 2, 3], seconds=0.01, check=unchecked))
    ['max', 'sum']
    """
    if rounds < MIN_SAMPLES:
        raise ValueError(f"rounds must be at least {MIN_SAMPLES}, not {rounds}")
    if not isinstance(functions, Mapping):
        raise TypeError(f"functions must be a mapping of names to functions, not {type(functions).__name__}")
    if not functions:
        raise ValueError("there is no function to time")
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"{name!r} must be a function, not {type(function).__name__}")
    if not seconds > 0:
        raise ValueError(f"seconds must be above 0, not {seconds}")
    given = dict(kwargs or {})
    kept = {name: value for name, value in given.items() if name != "out"}  # which is there to be written to
    looked_at = inputs == "same" and nbytes((args, kept)) <= _LOOKED_AT
    before = duplicate((args, kept)) if looked_at else None
    supply = Supply(inputs, args, given)
    clock = clock_for(leaves((*args, *given.values())))
    check = check or _agreement(functions, reference, args, given, tolerance)
    stopwatches = {
        name: _Stopwatch(name, function, supply, clock, flushed, (within or {}).get(name, nullcontext))
        for name, function in functions.items()
    }
    for watch in stopwatches.values():
        watch.prepare(check)
    changed = before is not None and not same_arrays((args, kept), before)
    witness = Witness()
    order, names = random.Random(0), list(functions)
    for _ in range(rounds):
        left = [name for name in names if not stopwatches[name].done(seconds)]
        if not left:
            break
        witness.round()
        order.shuffle(left)
        for name in left:
            rest()
            witness.sample(name, stopwatches[name].sample())
            if on_sample:
                on_sample(name)
    circumstances = {
        "timer": clock.name,
        "clock_hertz": witness.clock,
        "inputs": inputs,
        "flushed": flushed,
    }
    told = ("the inputs were changed while it ran: inputs='fresh' gives each call copies",) if changed else ()
    return Comparison(
        {
            name: watch.measurement((*witness.disturbances(name), *told))
            for name, watch in stopwatches.items()
        },
        circumstances,
    )


class _Stopwatch:
    """One function, checked, and its samples."""

    def __init__(
        self,
        name: str,
        function: Function,
        supply: Supply,
        clock: Clock,
        flushed: bool,
        within: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._name, self._function, self._supply, self._clock = name, function, supply, clock
        self._flushed, self._within = flushed, within
        self._samples: list[float] = []
        self._used = 0.0
        self._calls = self._warm = 1

    def prepare(self, check: Check) -> None:
        """Check the result, and find out how many calls a sample takes."""
        with self._within():
            begin = time.perf_counter()
            result = _result(self._supply, self._function)  # compiles, fills caches, touches pages
            once = time.perf_counter() - begin
            wrong = check(self._name, result)
            if wrong:
                raise WrongResultError(f"{self._name}: {wrong}")
            del result
            if once < SLOW_SECONDS:  # or it is no first call that counts, nor the asking for it on a GPU
                once = max(min(self._time(1) for _ in range(2)), 1e-9)
        if once >= SLOW_SECONDS:
            self._warm = 0
        elif once < SAMPLE_SECONDS:
            self._warm = math.ceil(WARM_SECONDS / once)
        if not self._flushed:
            self._calls = max(1, math.ceil(SAMPLE_SECONDS / once))
            self._calls = min(self._calls, self._supply.most or self._calls)

    def done(self, seconds: float) -> bool:
        """Whether it has had its time."""
        return len(self._samples) >= MIN_SAMPLES and self._used >= seconds

    def sample(self) -> int:
        """Warm up and take a sample; returns how often it was interrupted."""
        begin = time.perf_counter()
        with self._within():
            if self._warm:
                self._time(min(self._warm, self._supply.most or self._warm))
            if self._flushed:
                flush()
            before = switches()
            elapsed = self._time(self._calls)
        self._samples.append(elapsed / self._calls)
        self._used += time.perf_counter() - begin
        return switches() - before

    def measurement(self, disturbances: tuple[str, ...]) -> Measurement:
        """Return what the samples come to."""
        return Measurement(self._name, tuple(self._samples), self._calls, disturbances)

    def _time(self, calls: int) -> float:
        return self._clock.time(self._supply.calls(self._function, calls))


def _result(supply: Supply, function: Function) -> Any:
    """Call a function once; one that returns nothing gives what it made of its own copies."""
    ((_, args, kwargs),) = supply.calls(function, 1)
    result = function(*args, **kwargs)
    return (args, kwargs) if result is None and supply.fresh else result


def unchecked(name: str, result: Any) -> str | None:
    """Be the check of functions whose results differ on purpose."""
    return None


def _agreement(
    functions: Mapping[str, Function],
    reference: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tolerance: float | None,
) -> Check:
    """Return a check against a reference, or against the first function's result."""
    if reference is None and len(functions) == 1:
        return unchecked
    expected = []
    if reference is not None:
        copies = Supply("fresh", args, kwargs)
        expected.append(duplicate(_result(copies, reference) if callable(reference) else reference))

    def check(_: str, result: Any) -> str | None:
        if not expected:
            expected.append(duplicate(result))  # the next function may write into the same memory
            return None
        return agreement.difference(result, expected[0], tolerance)

    return check


def rest() -> None:
    """Sleep until no other thread of this process is busy."""
    until = time.perf_counter() + REST_SECONDS
    while True:
        begin, used = time.perf_counter(), time.process_time()
        time.sleep(_LOOK_SECONDS)
        now = time.perf_counter()
        if time.process_time() - used < 0.3 * (now - begin) or now > until:
            return
