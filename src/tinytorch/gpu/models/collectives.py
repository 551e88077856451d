"""Collectives of several GPUs: the time that they take, and the bandwidths that nccl-tests would report.

A message costs a latency and its bytes by the bandwidth of a link in one direction, and every GPU sends and
receives at once. Bus bandwidth is the algorithm's, S / t, times what makes it comparable with the link, for
any number of GPUs. (NVIDIA/nccl-tests, doc/PERFORMANCE.md; Thakur, Rabenseifner and Gropp, 2005.)
"""

import math
from dataclasses import dataclass
from typing import Literal

from tinytorch.runtime.errors import InputError

Name = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce"]
Algorithm = Literal["ring", "tree"]
NAMES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce")
#: Those that a tree can do; each step of the others moves what only one GPU is to have.
TREES = ("all_reduce", "broadcast", "reduce")


@dataclass(frozen=True)
class Collective:
    """A collective and the seconds it takes. `nbytes` are those of the whole array, as nccl-tests has it."""

    name: Name
    algorithm: Algorithm
    ranks: int
    nbytes: float
    seconds: float

    @property
    def algorithm_bandwidth(self) -> float | None:
        """Bytes of the array a second; None if it takes no time."""
        return self.nbytes / self.seconds if self.seconds else None

    @property
    def bus_bandwidth(self) -> float | None:
        """Bytes a second that a link carries; None if it takes no time.

        >>> round(collective("all_reduce", 8, 1e9, 450e9).bus_bandwidth / 1e9)
        450
        """
        rate = self.algorithm_bandwidth
        return None if rate is None else rate * bus_factor(self.name, self.ranks)


def bus_factor(name: Name, ranks: int) -> float:
    """Return bus bandwidth by algorithm bandwidth; raises InputError for a collective that is not known.

    >>> bus_factor("all_reduce", 8), bus_factor("all_gather", 8), bus_factor("broadcast", 8)
    (1.75, 0.875, 1.0)
    """
    _check(name, ranks)
    if name in {"broadcast", "reduce"}:
        return 1.0
    return (2 if name == "all_reduce" else 1) * (ranks - 1) / ranks


def collective(
    name: Name,
    ranks: int,
    nbytes: float,
    bandwidth: float,
    latency: float = 0.0,
    algorithm: Algorithm = "ring",
) -> Collective:
    """Return how long a collective takes among GPUs, each with a link of `bandwidth` bytes a second.

    `nbytes` are those of the whole array, `latency` seconds of one message. A ring's all-reduce takes
    2 (n - 1) (latency + S / (n B)), a pipelined tree's 2 log2(n) latency + 2 S / B; broadcast and reduce
    are pipelined, too. One GPU alone takes no time. Raises InputError for what cannot be.

    >>> ring = collective("all_reduce", 8, 1e9, 450e9, latency=3e-6)
    >>> tree = collective("all_reduce", 8, 1e9, 450e9, latency=3e-6, algorithm="tree")
    >>> round(ring.seconds * 1e6), round(tree.seconds * 1e6)
    (3931, 4462)
    """
    _check(name, ranks)
    if algorithm not in ("ring", "tree") or (algorithm == "tree" and name not in TREES):
        raise InputError(f"{name} is done by a ring; a tree does {', '.join(TREES)}; not {algorithm!r}")
    if not (nbytes >= 0 and bandwidth > 0 and latency >= 0):
        raise InputError(
            f"bytes and latency cannot be negative, and the bandwidth must be positive, not {nbytes},"
            f" {latency} and {bandwidth}"
        )
    if ranks == 1:
        return Collective(name, algorithm, ranks, nbytes, 0.0)
    ways = 2 if name == "all_reduce" else 1  # all-reduce gathers what it has reduced
    if algorithm == "tree":
        steps, carried = math.ceil(math.log2(ranks)), nbytes
    else:
        steps, carried = ranks - 1, nbytes * (1.0 if name in TREES[1:] else (ranks - 1) / ranks)
    return Collective(name, algorithm, ranks, nbytes, ways * (steps * latency + carried / bandwidth))


def fastest_all_reduce(ranks: int, nbytes: float, bandwidth: float, latency: float = 0.0) -> Collective:
    """Return the faster of ring and tree: trees win with many GPUs and few bytes.

    >>> fastest_all_reduce(256, 1e4, 50e9, 1e-5).algorithm, fastest_all_reduce(8, 1e9, 50e9, 1e-5).algorithm
    ('tree', 'ring')
    """
    ring = collective("all_reduce", ranks, nbytes, bandwidth, latency)
    tree = collective("all_reduce", ranks, nbytes, bandwidth, latency, "tree")
    return min(ring, tree, key=lambda one: one.seconds)


def _check(name: str, ranks: int) -> None:
    if name not in NAMES:
        raise InputError(f"collective {name!r} is not known; known are {', '.join(NAMES)}")
    if ranks < 1:
        raise InputError(f"a collective has at least one GPU, not {ranks}")
