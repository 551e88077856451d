"""How long a load takes whose address is the result of the load before: by how much memory there is to reach.

The curve has a step where a cache ends. Where it is steep tells how large the caches are, whatever the
system says of them.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tinytorch.machine.caches import UNKNOWN_CACHE
from tinytorch.machine.quota import available_memory
from tinytorch.measure.bandwidth import memory_block
from tinytorch.measure.probe import Crew, Probe
from tinytorch.simd.build import library
from tinytorch.simd.chains import LINE, STEPS, chain_kernels

SMALLEST = 4 << 10
_SAMPLES = 3
#: How much slower what lies beyond a cache must be for its end to be seen.
_STEP = 1.15


@dataclass(frozen=True)
class Latency:
    """One point of the curve."""

    bytes: int  # of each thread
    seconds: float  # a load
    cycles: float  # a load, by the clock as it ran meanwhile


def sizes(last_cache: int | None, threads: int = 1, per_octave: int = 4) -> list[int]:
    """Return the sizes worth trying: from 4 KiB to four times the last cache, if memory allows.

    >>> sizes(8 << 10)[:5]
    [4096, 5120, 6144, 7168, 8192]
    """
    most = min(4 * (last_cache or UNKNOWN_CACHE), available_memory() // 8) // threads
    steps = range(4, 8, 4 // per_octave)
    found = [(SMALLEST << octave) * step // 4 for octave in range(40) for step in steps]
    return [size for size in found if size <= most]


def chase_probe(size: int) -> Probe:
    """Return a probe of a random way through all lines of `size` bytes; its work is loads."""
    kernels, lines = library(chain_kernels), size // LINE
    memory, result = memory_block(size), np.zeros(1, np.int64)
    start = memory.ctypes.data
    kernels.call("link", lines, (lines - 1).bit_length(), start)
    chase = kernels.function("chase", 3)

    def run(turns: int) -> None:
        # It goes on where it stopped: from the start again, it would meet what it has just left in a cache.
        chase(turns, int(result[0]) or start, result.ctypes.data)

    return Probe(run, STEPS, memory)


def cycle_probe() -> Probe:
    """Return a probe of additions, each waiting for the one before; its work is cycles of the clock."""
    count, result = library(chain_kernels).function("count", 3), np.zeros(1, np.int64)
    return Probe(lambda turns: count(turns, 1, result.ctypes.data), STEPS, result)


def latency(size: int, threads: int = 1) -> Latency:
    """Measure one point: the shortest of three samples, since all that disturbs makes them longer."""
    with Crew(lambda: {"loads": chase_probe(size), "cycles": cycle_probe()}, threads) as crew:
        rounds = [(crew.sample("loads"), crew.sample("cycles")) for _ in range(_SAMPLES)]
    loads, cycles = (max(rates) for rates in zip(*rounds, strict=True))
    return Latency(size, threads / loads, cycles / loads)


def merged(*curves: Sequence[Latency]) -> tuple[Latency, ...]:
    """Return one curve of several sweeps: at each size the shortest."""
    return tuple(min(points, key=lambda point: point.seconds) for points in zip(*curves, strict=True))


def cache_ends(curve: Sequence[Latency], caches: int) -> list[int | None]:
    """Return where so many caches end, in bytes, as the curve shows it; None for one without a step.

    More memory cannot be faster to reach: what is slower than anything larger was disturbed. The curve is cut
    into the caches + 1 level pieces that fit its logarithm best (least squares; Fisher, On grouping for
    maximum homogeneity, 1958); a cache ends where the curve passes the geometric mean of two pieces.
    """
    if len(curve) <= caches:
        return [None] * caches
    times = np.minimum.accumulate(np.log([point.seconds for point in curve])[::-1])[::-1]
    pieces = _level_pieces(times, caches + 1)
    levels = [statistics.median(times[begin:end]) for begin, end in pieces]
    ends: list[int | None] = []
    for below, above in pairwise(levels):
        if above - below < np.log(_STEP):
            ends.append(None)
            continue
        index = int(np.searchsorted(times, (below + above) / 2))
        index = min(max(index, 1), len(times) - 1)
        share = ((below + above) / 2 - times[index - 1]) / max(times[index] - times[index - 1], 1e-9)
        low, high = curve[index - 1].bytes, curve[index].bytes
        ends.append(int(low * (high / low) ** min(max(share, 0.0), 1.0)))
    return ends


def _level_pieces(values: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Cut values into `count` runs so that their squared distances from their means are least in all."""
    n = len(values)
    sums, squares = (np.concatenate(([0.0], np.cumsum(x))) for x in (values, values**2))

    def cost(begin: int, end: int) -> float:
        return float(squares[end] - squares[begin] - (sums[end] - sums[begin]) ** 2 / (end - begin))

    best = [[(cost(0, end), 0) if end else (np.inf, 0) for end in range(n + 1)]]
    for piece in range(1, count):
        row = [(np.inf, 0)] * (n + 1)
        for end in range(piece + 1, n + 1):
            row[end] = min((best[-1][cut][0] + cost(cut, end), cut) for cut in range(piece, end))
        best.append(row)
    cuts = [n]
    for row in reversed(best):
        cuts.append(row[cuts[-1]][1])
    cuts.reverse()
    return list(pairwise(cuts))
