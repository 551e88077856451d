"""Divergence: how many lanes of a warp do something, from their masks, or expected from a chance.

A warp issues an instruction once for all its lanes, and those that a branch sent elsewhere stand idle. From
masks the figures are exact. From a share of conditional operations they are a model: lanes choose
independently of each other, and a warp walks through every side of a branch that any of its lanes takes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.gpu.models.lanes import LANES, distinct
from tinytorch.runtime.errors import InputError


def active_threads(active: np.ndarray) -> np.ndarray:
    """Return the active lanes of each instruction, (n, 32) bool to (n,).

    Their mean over instructions is Nsight Compute's `smsp__thread_inst_executed_per_inst_executed`.

    >>> active_threads(np.arange(32)[np.newaxis] < 20)
    array([20])
    """
    return np.count_nonzero(active, axis=1)


def predicated_on(active: np.ndarray, guard: np.ndarray) -> np.ndarray:
    """Return the active lanes of each instruction whose guard holds, too, (n, 32) bool twice to (n,).

    Their mean is `smsp__thread_inst_executed_pred_on_per_inst_executed`.

    >>> lanes = np.arange(32)[np.newaxis]
    >>> predicated_on(lanes < 20, lanes % 2 == 0)
    array([10])
    """
    return np.count_nonzero(active & guard, axis=1)


def warp_efficiency(active: np.ndarray) -> float:
    """Return the share of lanes that are active in the instructions issued; 1 if there are none.

    `active` is (n, 32) bool; a row without an active lane is not issued, and not counted.

    >>> warp_efficiency(np.arange(32) < np.array([[32], [16], [0]]))
    0.75
    """
    threads = active_threads(active)
    issued = np.count_nonzero(threads)
    return float(threads.sum() / (LANES * issued)) if issued else 1.0


def branch_targets(active: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return how many ways each branch sends the active lanes of its warp, (n,); above 1 it is divergent.

    `active` is (n, 32) bool; `target` is (n, 32), what each lane chooses: bool for taken or not, or the
    number of a target.

    >>> lanes = np.arange(32)[np.newaxis]
    >>> branch_targets(lanes < 20, lanes >= 20), branch_targets(lanes < 20, lanes % 3)
    (array([1]), array([3]))
    """
    return distinct(target.astype(np.int64), active)


def branch_efficiency(active: np.ndarray, target: np.ndarray) -> float:
    """Return the share of branches whose lanes all go one way; 1 if no branch is executed.

    Takes what `branch_targets` takes. Nsight Compute has it as `smsp__sass_branch_targets_threads_uniform` by
    that and `…_divergent` together.

    >>> lanes = np.arange(32)
    >>> branch_efficiency(np.ones((2, 32), bool), np.stack((lanes < 5, lanes < 32)))
    0.5
    """
    ways = branch_targets(active, target)
    executed = np.count_nonzero(ways)
    return float(np.count_nonzero(ways == 1) / executed) if executed else 1.0


@dataclass(frozen=True)
class Expected:
    """What to expect of a warp some of whose operations are conditional: a model, nothing is run."""

    divergence_ratio: float  # conditional operations in all
    chance: float  # that the lanes of a warp part at such a branch
    warp_efficiency: float  # active lanes in 32, mean over the instructions issued
    best: float  # the same if lanes of a warp always go one way
    worst: float  # the same if every warp walks through every side

    @property
    def efficiency_loss(self) -> float:
        """The share of lanes that stand idle."""
        return 1 - self.warp_efficiency

    @property
    def active_threads(self) -> float:
        """Active lanes per instruction."""
        return LANES * self.warp_efficiency


def chance_of_divergence(probabilities: Sequence[float], lanes: int = LANES) -> float:
    """Return the chance that lanes part at a branch: 1 - p1^lanes - p2^lanes - …

    A lane takes side i with the probability pi, whatever the others do; those that take none, the rest to 1,
    go on behind the branch. Raises InputError for what are no probabilities.

    >>> chance_of_divergence([0.01]) == 1 - 0.01**32 - 0.99**32
    True
    """
    sides = _checked(probabilities)
    rest = max(0.0, 1 - math.fsum(sides))
    return max(0.0, 1 - math.fsum(p**lanes for p in (*sides, rest)))


def expected(
    conditional_operations: float,
    total_operations: float,
    probabilities: Sequence[float] = (0.5, 0.5),
    lanes: int = LANES,
) -> Expected:
    """Return what to expect if a share of a thread's operations stands on the sides of branches.

    The C conditional operations of T are spread evenly over the k sides of branches; a lane takes side i with
    the probability pi, independently: [0.5, 0.5] is an if with an else, [p] one without, [1/k] * k a switch.
    A side is issued if any lane takes it, with the chance 1 - (1 - pi)^lanes, so of what is issued the share

        (T - C + C/k sum pi) / (T - C + C/k sum(1 - (1 - pi)^lanes))

    is done by active lanes. Real conditions are seldom independent: `best` and `worst` bound them. Raises
    InputError for counts that cannot be and for what are no probabilities.

    >>> it = expected(100, 1000)
    >>> it.divergence_ratio, round(it.warp_efficiency, 3), it.best
    (0.1, 0.95, 1.0)
    """
    if not 0 <= conditional_operations <= total_operations < math.inf or not total_operations:
        raise InputError(
            f"{conditional_operations} conditional of {total_operations} operations cannot be: "
            "give a total above 0 and a part of it"
        )
    share = conditional_operations / total_operations
    sides = np.array(_checked(probabilities))
    with np.errstate(divide="ignore"):  # log of 0: a side that all lanes take is always issued
        issued = -np.expm1(lanes * np.log1p(-sides))
    done = 1 - share + share * float(sides.mean())
    cost = 1 - share + share * float(issued.mean())
    taken = 1 - share + share * float(np.mean(sides > 0))
    return Expected(
        divergence_ratio=share,
        chance=chance_of_divergence(probabilities, lanes),
        warp_efficiency=done / cost if cost else 1.0,
        best=1.0,
        worst=done / taken if taken else 1.0,
    )


def _checked(probabilities: Sequence[float]) -> tuple[float, ...]:
    sides = tuple(float(p) for p in probabilities)
    if not sides or not all(0 <= p <= 1 for p in sides) or math.fsum(sides) > 1 + 1e-9:
        raise InputError(
            f"the sides of a branch have probabilities of 0 to 1, in all 1 at most, not {list(sides)}"
        )
    return sides
