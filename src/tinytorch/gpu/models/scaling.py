"""How training gets faster with more GPUs: strong and weak scaling of a data-parallel step.

Each GPU computes its part of the batch, then all add up their gradients: inside a node over its links, and
between nodes over the network. What of the adding does not hide behind the computing makes the step longer.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tinytorch.gpu.arch.products import Product
from tinytorch.gpu.models.collectives import collective, fastest_all_reduce
from tinytorch.runtime.errors import InputError

#: GPUs that are looked at where nothing else is told.
COUNTS = tuple(2**power for power in range(11))
#: What training reaches of a GPU's peak where nothing else is told: an assumption; 0.3 to 0.55 are reported.
UTILIZATION = 0.4
#: The share of the computing behind which gradients can travel: the backward pass is about two thirds of it,
#: and its first gradients come late. An assumption.
OVERLAP = 0.5

Mode = Literal["strong", "weak"]


@dataclass(frozen=True)
class Interconnect:
    """How GPUs reach each other: bytes a second in one direction of each GPU, and seconds of a message.

    The defaults are assumptions: 8 GPUs a node, 400 Gb/s of network for each, and usual latencies.
    """

    link_bandwidth: float
    gpus_per_node: int = 8
    network_bandwidth: float = 50e9
    link_latency: float = 3e-6
    network_latency: float = 10e-6

    def all_reduce_seconds(self, gpus: int, nbytes: float) -> float:
        """Return the time to add up an array of `nbytes` over GPUs.

        Across nodes it is done in three parts: the GPUs of a node share out the sum between them, the
        nodes add up each share over the network, and every node gathers the shares. Raises InputError for
        more than a node if the nodes are not full.

        >>> wires = Interconnect(450e9, link_latency=0, network_latency=0)
        >>> [round(wires.all_reduce_seconds(gpus, 1e9) * 1e3, 2) for gpus in (8, 64)]
        [3.89, 8.26]
        """
        node = min(_counted(gpus), self.gpus_per_node)
        if gpus > self.gpus_per_node and gpus % self.gpus_per_node:
            raise InputError(f"{gpus} GPUs do not fill nodes of {self.gpus_per_node}: give a multiple")
        if gpus == node:
            return fastest_all_reduce(node, nbytes, self.link_bandwidth, self.link_latency).seconds
        inside = sum(
            collective(part, node, nbytes, self.link_bandwidth, self.link_latency).seconds
            for part in ("reduce_scatter", "all_gather")
        )
        nodes = gpus // node
        return (
            inside
            + fastest_all_reduce(nodes, nbytes / node, self.network_bandwidth, self.network_latency).seconds
        )


@dataclass(frozen=True)
class Scaled:
    """A step on so many GPUs, and how it compares with one GPU's."""

    gpus: int
    compute_seconds: float
    communication_seconds: float
    exposed_seconds: float  # of the communication, what does not hide behind the computing
    speedup: float  # in samples a second, against one GPU
    efficiency: float  # speedup by the number of GPUs

    @property
    def seconds(self) -> float:
        """The time of a step."""
        return self.compute_seconds + self.exposed_seconds


def amdahl(processors: int, serial: float) -> float:
    """Return the speed-up of work of which a share cannot be divided (Amdahl, 1967).

    Raises InputError for a share that is none, or no processors.

    >>> amdahl(8, 0.0), round(amdahl(8, 0.05), 2), round(amdahl(10**9, 0.05))
    (8.0, 5.93, 20)
    """
    _check_share(processors, serial)
    return 1 / (serial + (1 - serial) / processors)


def gustafson(processors: int, serial: float) -> float:
    """Return the speed-up of work that grows with the processors, but for a share of its time.

    (Gustafson, 1988.) Raises InputError for a share that is none, or no processors.

    >>> gustafson(8, 0.0), gustafson(8, 0.05)
    (8.0, 7.65)
    """
    _check_share(processors, serial)
    return processors - serial * (processors - 1)


def interconnect_of(
    product: Product, network_bandwidth: float = 50e9, gpus_per_node: int = 8
) -> Interconnect:
    """Return the interconnect of nodes of a product; raises InputError if its link is not known.

    >>> from tinytorch.gpu.arch import product
    >>> interconnect_of(product("H100 SXM")).link_bandwidth
    450000000000.0
    """
    if product.link_bandwidth is None:
        raise InputError(f"the link of {product.name} is not known: give an Interconnect")
    return Interconnect(product.link_bandwidth, gpus_per_node, network_bandwidth)


def data_parallel(
    product: Product,
    gradient_bytes: float,
    operations: float,
    *,
    mode: Mode = "strong",
    dtype: str = "bf16",
    gpus: Iterable[int] = COUNTS,
    interconnect: Interconnect | None = None,
    utilization: float = UTILIZATION,
    overlap: float = OVERLAP,
) -> tuple[Scaled, ...]:
    """Return how a training step scales over GPUs that each hold the whole model.

    `operations` are those of a step on one GPU; with strong scaling the GPUs divide them, with weak scaling
    each does as many. `gradient_bytes` are added up over all GPUs in each step. `utilization` is the
    share of the product's peak that computing reaches, `overlap` the share of the computing behind which
    gradients can travel. Raises InputError for what cannot be.

    >>> from tinytorch.gpu.arch import product
    >>> steps = data_parallel(product("H100 SXM"), 2 * 7e9, 6 * 7e9 * 1e6, gpus=[1, 8, 1024])
    >>> [f"{step.gpus}: {step.efficiency:.0%}" for step in steps]
    ['1: 100%', '8: 100%', '1024: 59%']
    """
    if not (gradient_bytes >= 0 and operations > 0):
        raise InputError(f"a step has operations and gradients, not {operations} and {gradient_bytes} bytes")
    if not (0 < utilization <= 1 and 0 <= overlap <= 1):
        raise InputError(f"utilization and overlap are shares from 0 to 1, not {utilization} and {overlap}")
    if mode not in ("strong", "weak"):
        raise InputError(f"scaling is strong or weak, not {mode!r}")
    wires = interconnect or interconnect_of(product)
    alone = operations / (product.peak(dtype) * utilization)
    counts = [_counted(count) for count in gpus]
    return tuple(
        _step(count, alone, wires.all_reduce_seconds(count, gradient_bytes), mode, overlap)
        for count in counts
    )


def _step(gpus: int, alone: float, communication: float, mode: Mode, overlap: float) -> Scaled:
    compute = alone / gpus if mode == "strong" else alone
    exposed = max(0.0, communication - overlap * compute)
    if not (0 < compute + exposed < math.inf and alone * gpus < math.inf):
        raise InputError(
            f"a step of {alone:g} s on one GPU that adds up its gradients in {communication:g} s is beyond "
            "what numbers can say: give operations, bytes and bandwidths that a GPU can have"
        )
    samples = 1 if mode == "strong" else gpus  # batches that a step gets through
    speedup = samples * alone / (compute + exposed)
    return Scaled(gpus, compute, communication, exposed, speedup, speedup / gpus)


def _counted(gpus: int) -> int:
    if gpus < 1:
        raise InputError(f"there must be at least one GPU, not {gpus}")
    return gpus


def _check_share(processors: int, serial: float) -> None:
    _counted(processors)
    if not 0 <= serial <= 1:
        raise InputError(f"the serial share is from 0 to 1, not {serial}")
