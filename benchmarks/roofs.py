"""How the profiler places callables whose bounds are known, on this machine.

    python -m benchmarks.roofs

Our product should lie near the peak, copies and triads near the bandwidth of memory, a random pointer chase
should be called bound by latency and a loop in Python by call overhead; nothing should lie above its roof.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from tinytorch import ops
from tinytorch.measure.bandwidth import pass_probes
from tinytorch.profiler.profile import profile
from tinytorch.runtime import units
from tinytorch.runtime.cost import Cost

#: Bytes of an array that no cache holds, unless it is one of hundreds of megabytes.
LARGE = 400 << 20


@njit
def chase(following: np.ndarray, steps: int) -> int:
    """Go where each number says that the next one is."""
    i = 0
    for _ in range(steps):
        i = following[i]
    return i


def way(count: int) -> np.ndarray:
    """Return a random way through all of so many numbers."""
    order = np.random.default_rng(0).permutation(count)
    following = np.empty(count, np.int64)
    following[order] = np.roll(order, -1)
    return following


def loop(x: np.ndarray) -> float:
    """Add numbers one by one."""
    total = 0.0
    for value in x:
        total += value
    return total


def triad() -> tuple[Callable[[], None], Cost]:
    """Return z = x + y / 2 over large arrays, with stores that pass by the caches, and its cost."""
    probe = pass_probes(LARGE)["triad_stream"]
    moved = int(probe.work)
    return lambda: probe.run(1), Cost(2 * (moved // 12), 2 * (moved // 3), moved // 3)


def cases() -> list[tuple[str, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]]]:
    """Return a name, what should bound it, and a call."""
    a = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
    small, large = a[:512, :512].copy(), np.ones(LARGE // 4, np.float32)
    outs = [np.empty_like(x) for x in (a, small, large)]
    run, cost = triad()

    def copy(x: np.ndarray) -> None:
        np.copyto(outs[2], x)

    return [
        ("product, 2048", "compute", ops.matmul, (a, a), {"kwargs": {"out": outs[0]}}),
        ("product, 512", "compute", ops.matmul, (small, small), {"kwargs": {"out": outs[1]}}),
        (
            "copy, NumPy's",
            "memory",
            copy,
            (large,),
            {"cost": Cost(0, LARGE, LARGE)},
        ),
        ("relu, ours", "memory", ops.relu, (large,), {"kwargs": {"out": outs[2]}}),
        ("triad, streamed", "memory", run, (), {"cost": cost, "dtype": np.float32}),
        ("pointer chase", "latency", chase, (way(4 << 20), 50_000), {}),
        ("loop in Python", "call overhead", loop, (np.ones(20_000),), {}),
    ]


def main() -> int:
    """Profile each and print where it stands."""
    print(f"{'call':18}{'time':>10}{'threads':>9}{'of peak':>9}{'of level':>16}  bound by")
    for name, expected, function, args, options in cases():
        found = profile(function, *args, name=name, **options)
        place = found.place
        of_peak = units.share(found.evidence.compute) if found.evidence.compute is not None else ""
        level = f"{units.share(found.evidence.memory)} {found.evidence.level}"
        time = units.quantity(found.measurement.median, "s")
        print(f"{name:18}{time:>10}{found.roofline.threads:>9}{of_peak:>9}{level:>16}  {found.bound.name}")
        if expected not in found.bound.name:
            print(f"  it should be bound by {expected}: {found.bound.reason}")
        if place.binding.share > 1.03:
            print(f"  above its roof: {units.share(place.binding.share)} of {place.binding.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
