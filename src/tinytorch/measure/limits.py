"""What this machine can do, measured: peaks, bandwidths, latencies, overheads; kept per machine.

The file lies in the user's cache folder under the machine's fingerprint. It is what `tito machine` prints and
what a roofline begins with; a profile measures the roofs that it uses again beside the kernel, because the
clock of a machine drifts.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinytorch.machine.info import Machine, describe, fingerprint
from tinytorch.measure import latency as chases
from tinytorch.measure.bandwidth import WRITTEN, bandwidths, level_bytes
from tinytorch.measure.latency import Latency, cache_ends, merged
from tinytorch.measure.overheads import overheads
from tinytorch.measure.peaks import DTYPES, peak_probes, unit
from tinytorch.measure.probe import SAMPLES, Reading, reading, readings
from tinytorch.runtime import folders
from tinytorch.runtime.files import UNREADABLE, write_whole
from tinytorch.runtime.threads import get_num_threads

_log = logging.getLogger(__name__)
#: Of the JSON file; changes when a reader of it would have to.
SCHEMA = 1
#: Sweeps of the latency curve: what disturbs one size in one sweep seldom does in the next.
_SWEEPS = 2

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """What one machine can do. Rates a second, for a number of threads; sizes in bytes, times in seconds."""

    fingerprint: str
    time: str
    threads: int  # all that kernels use; what is kept is for one and for all
    units: Mapping[str, str]  # which part of the CPU reaches the peak of a dtype
    peaks: Mapping[str, Mapping[int, Reading]]  # by dtype and threads: operations
    bandwidths: Mapping[str, Mapping[str, Mapping[int, Reading]]]  # by level, pass and threads: bytes
    latencies: Mapping[int, tuple[Latency, ...]]  # by threads
    cache_ends: Mapping[str, int]  # where the curve of one thread says that caches end
    overheads: Mapping[str, Reading]
    clock_hertz: float
    quick: bool  # measured in less detail, for a first profile

    def counts(self) -> tuple[int, ...]:
        """Return the numbers of threads that there are readings for."""
        return (1,) if self.threads == 1 else (1, self.threads)

    def unstable(self) -> list[str]:
        """Name the readings whose repeats disagree by more than a tenth."""
        named = [
            *((f"peak {d} x{n}", r) for d, by in self.peaks.items() for n, r in by.items()),
            *(
                (f"{level} {name} x{n}", r)
                for level, by_pass in self.bandwidths.items()
                for name, by in by_pass.items()
                for n, r in by.items()
            ),
            *self.overheads.items(),
        ]
        return [name for name, found in named if not found.stable]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {"schema": SCHEMA, **asdict(self), "unstable": self.unstable()}


def measure_limits(
    machine: Machine | None = None, tell: Tell = lambda _: None, quick: bool = False
) -> Limits:
    """Measure everything: about 20 seconds on two CPUs; `tell` hears what is being measured.

    With `quick` the latency curve is coarse and of one thread only, and it takes a third of the time.
    """
    machine = machine or describe()
    threads = get_num_threads()
    counts = (1,) if threads == 1 else (1, threads)
    told = {name: machine.caches.get(name) for name in ("l1", "l2", "l3")}
    curves, ends = _latencies(told, counts, tell, quick)
    # A cache may be shared with other machines on this hardware: what one gets of it is where its curve ends.
    effective = {name: min(told[name] or end, end) for name, end in ends.items()}
    peaks: dict[str, dict[int, Reading]] = {str(dtype): {} for dtype in DTYPES}
    levels: dict[str, dict[str, dict[int, Reading]]] = {}
    for count in counts:
        tell(f"peaks, {count} threads")
        for name, peak in readings(peak_probes, count).items():
            peaks[name][count] = peak
        for level, size in level_bytes(effective, told["l3"] or told["l2"], count).items():
            tell(f"bandwidth of {level}, {count} threads")
            for name, rate in bandwidths(size, count, 3 if level == "memory" else SAMPLES).items():
                levels.setdefault(level, {}).setdefault(name, {})[count] = rate
    tell("overheads")
    return Limits(
        fingerprint(machine),
        datetime.now(UTC).isoformat(timespec="seconds"),
        threads,
        {str(dtype): unit(dtype) for dtype in DTYPES},
        peaks,
        levels,
        curves,
        ends,
        overheads(threads),
        _clock(),
        quick,
    )


def _clock() -> float:
    """Return the clock in hertz, once the CPU has been busy for a while."""
    return reading(chases.cycle_probe, 1).value


def _latencies(
    told: Mapping[str, int | None], counts: tuple[int, ...], tell: Tell, quick: bool
) -> tuple[dict[int, tuple[Latency, ...]], dict[str, int]]:
    """Return the curves, and where each cache ends: as many caches as the system tells of, else three."""
    curves = {}
    for count in (1,) if quick else counts:
        fine = count == 1 and not quick
        sizes = chases.sizes(told["l3"] or told["l2"], count, per_octave=4 if fine else 2)
        sweeps = []
        for _ in range(_SWEEPS if fine else 1):
            sweep = []
            for size in sizes:
                tell(f"latency of {size >> 10} KiB, {count} threads")
                sweep.append(chases.latency(size, count))
            sweeps.append(sweep)
        curves[count] = merged(*sweeps)
    names = [name for name in ("l1", "l2", "l3") if told[name]] or ["l1", "l2", "l3"]
    # Where the curve shows no step the system is believed, if it tells.
    found = {
        name: end or told[name] for name, end in zip(names, cache_ends(curves[1], len(names)), strict=True)
    }
    return curves, {name: size for name, size in found.items() if size}


def kept(machine: Machine | None = None) -> Limits | None:
    """Return what was measured on this machine before, for as many threads as kernels use, or None."""
    name, threads = fingerprint(machine or describe()), get_num_threads()
    path = _path(name, threads)
    try:
        found = _read(json.loads(path.read_text()))
        if (found.fingerprint, found.threads) != (name, threads):
            raise ValueError("another machine's")
        return found
    except FileNotFoundError:
        return None
    except (*UNREADABLE, OSError) as error:
        _log.info("%s is no file of limits; measuring anew (%s)", path, error)
        return None


def keep(limits: Limits) -> str | None:
    """Keep limits in the user's cache folder; returns why that cannot be, or None."""
    path = _path(limits.fingerprint, limits.threads)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, json.dumps(limits.as_dict()) + "\n")
    except OSError as error:
        return f"{path.parent} cannot be written: {error.strerror or error}"
    return None


def limits(tell: Tell = lambda _: None) -> Limits:
    """Return what this machine can do, measured quickly now if it has not been before."""
    machine = describe()
    found = kept(machine)
    if found is None:
        found = measure_limits(machine, tell, quick=True)
        why = keep(found)
        if why:
            _log.warning("what was measured is not kept: %s", why)
    return found


def _path(name: str, threads: int) -> Path:
    return folders.cache() / f"limits-{name}-{threads}.json"


def _read(content: Any) -> Limits:
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema {content['schema']!r}")

    def positive(value: Any) -> float:
        if not 0 < float(value) < float("inf"):
            raise ValueError(f"{value!r} where a number above zero belongs")
        return float(value)

    def reading_of(one: Any, number: Callable[[Any], float] = positive) -> Reading:
        return Reading(number(one["value"]), number(one["low"]), number(one["high"]))

    def readings(by: Any) -> dict[int, Reading]:
        found = {int(count): reading_of(one) for count, one in by.items()}
        if 1 not in found:
            raise ValueError("nothing for one thread")
        return found

    threads = int(positive(content["threads"]))
    counts = {1, threads}
    if set(content["peaks"]) != {str(dtype) for dtype in DTYPES}:
        raise ValueError(f"peaks of {', '.join(content['peaks'])}")
    if not all(set(map(int, by)) == counts for by in content["peaks"].values()):
        raise ValueError("peaks for other threads")
    if not all(set(by) == set(WRITTEN) for by in content["bandwidths"].values()):
        raise ValueError("bandwidths of other passes")
    if not all(set(map(int, by)) == counts for by in content["bandwidths"]["memory"].values()):
        raise ValueError("bandwidths for other threads")

    return Limits(
        str(content["fingerprint"]),
        str(content["time"]),
        threads,
        {str(k): str(v) for k, v in content["units"].items()},
        {dtype: readings(by) for dtype, by in content["peaks"].items()},
        {
            level: {name: readings(by) for name, by in by_pass.items()}
            for level, by_pass in content["bandwidths"].items()
        },
        {
            int(count): tuple(
                Latency(int(p["bytes"]), float(p["seconds"]), float(p["cycles"])) for p in curve
            )
            for count, curve in content["latencies"].items()
        },
        {str(k): int(positive(v)) for k, v in content["cache_ends"].items()},
        {str(k): reading_of(v, float) for k, v in content["overheads"].items()},
        positive(content["clock_hertz"]),
        bool(content["quick"]),
    )
