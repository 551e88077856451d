"""How far the verdicts of `tinytorch.measure.compare` can be trusted on this machine, as busy as it is.

    python -m benchmarks.verdicts --runs 100

Each run compares a function with itself, which must show no difference, and with the same function doing 5%
more work, which must show that it is slower. Four kinds of work take turns.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np

from tinytorch.measure import compare
from tinytorch.measure.load import Load
from tinytorch.measure.timing import unchecked
from tinytorch.simd.build import library
from tinytorch.simd.chains import chain_kernels

#: How much more work the slower one does.
PLANTED = 0.05


def works() -> dict[str, Callable[[float], Callable[[], object]]]:
    """Return what makes a function that does so many times its usual work."""
    numbers = np.linspace(0, 1, 400_000, dtype=np.float32)
    result = np.zeros(1, np.int64)
    count = library(chain_kernels).function("count", 3)

    def loop(turns: int) -> int:
        total = 0
        for i in range(turns):
            total += i
        return total

    return {
        "additions in registers": lambda more: partial(count, int(10_000 * more), 1, result.ctypes.data),
        "exp of an array": lambda more: partial(np.exp, numbers[: int(100_000 * more)]),
        "a loop in Python": lambda more: partial(loop, int(10_000 * more)),
        "sums in memory": lambda more: numbers[: int(380_000 * more)].sum,
    }


def main() -> int:
    """Run as asked; prints a line for each kind of work and one for all."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verdicts", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=100, help="comparisons of either kind (default: 100)")
    options = parser.parse_args()
    kinds = works()
    right: dict[str, list[list[bool]]] = {name: [[], []] for name in kinds}
    taken, ratios, load = [], [], Load()
    for run in range(options.runs):
        name = list(kinds)[run % len(kinds)]
        make = kinds[name]
        for which, more, expected in ((0, 1.0, "no difference"), (1, 1 + PLANTED, "slower")):
            begin = time.perf_counter()
            verdict = compare({"A": make(1.0), "B": make(more)}, check=unchecked).verdict("B", "A")
            taken.append(time.perf_counter() - begin)
            right[name][which].append(verdict.outcome == expected)
            if which:
                ratios.append(verdict.ratio)
            if verdict.outcome != expected:
                print(f"wrong: {name}, {more:g} times the work: {verdict}", file=sys.stderr)
    print(f"{'work':26}{'with itself: no difference':>30}{f'with {PLANTED:.0%} more: slower':>26}")
    for name, both in right.items():
        print(
            f"{name:26}" + "".join(f"{sum(w):>{n}} of {len(w)}" for w, n in zip(both, (24, 20), strict=True))
        )
    totals = [[one for both in right.values() for one in both[which]] for which in (0, 1)]
    print(
        f"{'all':26}" + "".join(f"{sum(w):>{n}} of {len(w)}" for w, n in zip(totals, (24, 20), strict=True))
    )
    print(
        f"A comparison took {median(taken):.1f} s, {max(taken):.1f} at most. What was planted was seen as "
        f"{median(ratios) - 1:.1%} in the median. Others kept {load.of_others():.2f} CPUs busy."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
