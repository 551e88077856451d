"""The roofs of one call, measured beside it: a clock drifts by a tenth within an hour, and so do neighbours.

The roof of memory is that of passes over as much memory as the call touches, so that it needs no opinion on
how large the caches are or which part of them this process gets.
"""

import time
from dataclasses import dataclass

from tinytorch.machine.quota import available_memory
from tinytorch.measure.bandwidth import around, best_variants, mixed, pass_probes
from tinytorch.measure.peaks import compute_dtype, peak_probe
from tinytorch.measure.probe import Crew, Probe, Reading
from tinytorch.runtime.arrays import DType
from tinytorch.runtime.cost import Cost

_SMALLEST = 4 << 10
#: What passes over memory may take in all, and how many samples there are at least: over a gigabyte one takes
#: a tenth of a second.
_SECONDS = 1.5
_SAMPLES = 3
_PEAK = "peak"


@dataclass(frozen=True)
class Beside:
    """Roofs as they were while a call was timed: operations and bytes a second."""

    peak: Reading
    bandwidth: Reading


class RoofsBeside:
    """Samples the roofs of a cost between the samples of what is timed: a context of its threads."""

    def __init__(self, dtype: DType, threads: int, cost: Cost, working_set: int) -> None:
        self._dtype = compute_dtype(dtype)
        self._written = cost.written / cost.bytes if cost.bytes else 0.0
        self._size = max(_SMALLEST, min(working_set, available_memory() // 8) // threads)
        self._passes = around(self._written)
        self._samples: dict[str, list[float]] = {_PEAK: [], **{name: [] for name in self._passes}}
        self._used = 0.0
        self._crew = Crew(self._probes, threads)

    def _probes(self) -> dict[str, Probe]:
        found = pass_probes(self._size)
        return {_PEAK: peak_probe(self._dtype), **{name: found[name] for name in self._passes}}

    def __enter__(self) -> "RoofsBeside":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads."""
        self._crew.__exit__()

    def sample(self, *_: object) -> None:
        """Take a sample of each."""
        self._samples[_PEAK].append(self._crew.sample(_PEAK))
        if self._used > _SECONDS and len(self._samples[self._passes[0]]) >= _SAMPLES:
            return
        begin = time.perf_counter()
        for name in self._passes:
            self._samples[name].append(self._crew.sample(name))
        self._used += time.perf_counter() - begin

    def reading(self) -> Beside:
        """Return what the samples come to."""
        while len(self._samples[self._passes[0]]) < _SAMPLES:
            self.sample()
        rates = best_variants({name: Reading.of(self._samples[name]) for name in self._passes})
        return Beside(
            Reading.of(self._samples[_PEAK]),
            Reading(
                mixed({name: rate.value for name, rate in rates.items()}, self._written),
                mixed({name: rate.low for name, rate in rates.items()}, self._written),
                mixed({name: rate.high for name, rate in rates.items()}, self._written),
            ),
        )
