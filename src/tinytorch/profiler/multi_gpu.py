"""Several GPUs: how a training step scales that computes apart and adds up its gradients.

Time, speed and what hides behind what are `gpu.models.scaling`; here is what is asked of it: one count of
GPUs, the curve to 1,024, which part of the wires is the slowest, and what a change would gain.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from tinytorch.gpu.arch import PRODUCTS, Product
from tinytorch.gpu.models.scaling import (
    COUNTS,
    OVERLAP,
    UTILIZATION,
    Interconnect,
    Mode,
    Scaled,
    data_parallel,
    interconnect_of,
)
from tinytorch.gpu.models.tensor_cores import BITS, dtype_name
from tinytorch.profiler.checks import positive
from tinytorch.profiler.device import Device
from tinytorch.profiler.results import ScalingAnalysis
from tinytorch.runtime import units
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.errors import InputError

#: Operations of training for each parameter and token (Kaplan et al., Scaling Laws for Neural Language
#: Models, 2020), and tokens of a step, where the operations of a step are not given.
OPERATIONS = 6
TOKENS = 2**20
#: Efficiency that is worth its GPUs, and the gain from which a change is worth a word.
GOOD = 0.8
_WORTH = 1.01


@dataclass(frozen=True)
class Step:
    """A training step: what is added up, what is computed, where, and how."""

    product: Product
    gradient_bytes: float
    operations: float
    dtype: str
    mode: Mode
    wires: Interconnect
    utilization: float
    overlap: float

    def on(self, *gpus: int) -> tuple[Scaled, ...]:
        """Return how it scales to each count of GPUs."""
        return data_parallel(
            self.product,
            self.gradient_bytes,
            self.operations,
            mode=self.mode,
            dtype=self.dtype,
            gpus=gpus,
            interconnect=self.wires,
            utilization=self.utilization,
            overlap=self.overlap,
        )


def of_step(
    device: Device,
    data_size: float,
    num_gpus: int,
    *,
    flops: float | None = None,
    dtype: Any = None,
    mode: Mode = "strong",
    interconnect: Any = None,
    network: float | None = None,
    gpus_per_node: int = 8,
    utilization: float = UTILIZATION,
    overlap: float = OVERLAP,
) -> ScalingAnalysis:
    """Analyse a data-parallel step that adds up `data_size` bytes over `num_gpus` GPUs.

    Raises InputError for what cannot be.
    """
    count = integer("num_gpus", num_gpus, 1)
    size = positive("data_size", data_size)
    name = _dtype(device.product, dtype)
    wires, how_wires = wires_of(device.product, interconnect, network, gpus_per_node)
    parameters = size * 8 / BITS[name]
    work = OPERATIONS * parameters * TOKENS if flops is None else positive("flops", flops)
    step = Step(device.product, size, work, name, mode, wires, utilization, overlap)
    (here,) = step.on(count)
    counts = [n for n in COUNTS if n <= wires.gpus_per_node or n % wires.gpus_per_node == 0]
    strategies = _strategies(step, here, counts)
    how = device.modelled(
        f"a data-parallel step in {name}, {mode} scaling, its all-reduce by ring or tree, {how_wires}"
    )
    return {
        "data_size": size,
        "num_gpus": count,
        "flops": work,
        "dtype": name,
        "device": device.product.name,
        "mode": mode,
        "communication_overhead": here.exposed_seconds / here.seconds,
        "compute_scaling": here.speedup,
        "scaling_efficiency": here.efficiency,
        "step_seconds": here.seconds,
        "compute_seconds": here.compute_seconds,
        "communication_seconds": here.communication_seconds,
        "bottleneck_type": _bottleneck(step, here),
        "optimization_strategies": strategies,
        "curve": _curve(step, counts),
        "recommendations": strategies,
        "provenance": {
            "flops": "given"
            if flops is not None
            else f"assumed: {OPERATIONS} operations for each of {units.quantity(parameters, 'parameters')} "
            f"and of {TOKENS:,} tokens a step (Kaplan et al., 2020)",
            "communication_overhead": how,
            "compute_scaling": how,
            "scaling_efficiency": "compute_scaling by num_gpus",
            "step_seconds": how,
            "compute_seconds": device.modelled(
                f"operations by {utilization:.0%} of the peak "
                f"({'assumed' if utilization == UTILIZATION else 'given'})"
            ),
            "communication_seconds": f"modelled: bytes and messages by {how_wires}",
            "curve": how,
            "overlap": f"{'assumed' if overlap == OVERLAP else 'given'}: gradients travel behind "
            f"{overlap:.0%} of the computing",
            "optimization_strategies": "modelled: the same step with that change",
        },
    }


def wires_of(
    product: Product, given: Any, network: float | None = None, gpus_per_node: int = 8
) -> tuple[Interconnect, str]:
    """Return an interconnect and where it is from: None is the product's own link, a name that of another.

    A number is bytes a second in one direction of each GPU. Raises InputError for what is none.

    >>> wires_of(PRODUCTS["H100 SXM"], "pcie 4")[0].link_bandwidth
    32000000000.0
    """
    if isinstance(given, Interconnect):
        return given, "an interconnect as given"
    node = integer("gpus_per_node", gpus_per_node, 1)
    net = Interconnect.network_bandwidth if network is None else positive("network", network)
    if given is None:
        wires, how = interconnect_of(product, net, node), f"{product.link} of the table"
    elif isinstance(given, str):
        links = {one.link.lower(): one for one in PRODUCTS.values() if one.link}
        if given.lower() not in links:
            known = ", ".join(sorted({one.link for one in PRODUCTS.values() if one.link}))
            raise InputError(
                f"interconnect {given!r} is not known; known are {known}, or give bytes a second"
            )
        like = links[given.lower()]
        wires, how = interconnect_of(like, net, node), f"{like.link} as {like.name} has it"
    else:
        wires, how = Interconnect(positive("interconnect", given), node, net), "a link as given"
    return wires, (
        f"{how} at {units.quantity(wires.link_bandwidth, 'B/s')}, {node} GPUs a node, network "
        f"{units.quantity(net, 'B/s')} a GPU ({'assumed' if network is None else 'given'}), latencies "
        f"{units.quantity(wires.link_latency, 's')} and {units.quantity(wires.network_latency, 's')} "
        "(assumed)"
    )


def _dtype(product: Product, given: Any) -> str:
    if given is not None:
        return dtype_name(given)
    return next((name for name in ("bf16", "fp16") if name in product.dtypes), "fp32")


def _curve(step: Step, counts: list[int]) -> list[dict[str, float]]:
    """Return speed and efficiency by GPUs, with strong and with weak scaling."""
    modes: tuple[Mode, Mode] = ("strong", "weak")
    strong, weak = (replace(step, mode=mode).on(*counts) for mode in modes)
    return [
        {
            "gpus": s.gpus,
            "strong_speedup": s.speedup,
            "strong_efficiency": s.efficiency,
            "weak_speedup": w.speedup,
            "weak_efficiency": w.efficiency,
        }
        for s, w in zip(strong, weak, strict=True)
    ]


def _bottleneck(step: Step, here: Scaled) -> str:
    """Return "compute", or what of the wires, were it free, would shorten the communication most."""
    if here.exposed_seconds <= here.compute_seconds:
        return "compute"
    free = {
        "link bandwidth": replace(step.wires, link_bandwidth=math.inf),
        "link latency": replace(step.wires, link_latency=0.0),
        "network bandwidth": replace(step.wires, network_bandwidth=math.inf),
        "network latency": replace(step.wires, network_latency=0.0),
    }
    seconds = {name: wires.all_reduce_seconds(here.gpus, step.gradient_bytes) for name, wires in free.items()}
    return min(seconds, key=lambda name: seconds[name])


def _strategies(step: Step, here: Scaled, counts: list[int]) -> list[str]:
    """Return what would help, what gains most first, each with the efficiency that it would bring."""
    wires, across = step.wires, here.gpus > step.wires.gpus_per_node
    faster = (
        ("a network twice as fast", replace(wires, network_bandwidth=2 * wires.network_bandwidth))
        if across
        else ("links twice as fast", replace(wires, link_bandwidth=2 * wires.link_bandwidth))
    )
    changes = {
        "four times the batch, or gradients of four batches added up before they travel": replace(
            step, operations=4 * step.operations
        ),
        "gradients in half the bytes": replace(step, gradient_bytes=step.gradient_bytes / 2),
        "gradients that travel while all of the rest is computed": replace(step, overlap=1.0),
        faster[0]: replace(step, wires=faster[1]),
    }
    brought = {text: changed.on(here.gpus)[0].efficiency for text, changed in changes.items()}
    worth = sorted(brought, key=lambda text: brought[text], reverse=True)
    found = [
        f"{text}: efficiency {units.share(brought[text])} instead of {units.share(here.efficiency)}"
        for text in worth
        if brought[text] >= _WORTH * here.efficiency
    ]
    good = [one.gpus for one in step.on(*counts) if one.efficiency >= GOOD]
    if here.efficiency < GOOD and good and max(good) < here.gpus:
        found.append(
            f"{max(good):,} GPUs would be used to {GOOD:.0%} and more: {here.gpus:,} are too many for this "
            "step"
        )
    memory = step.product.memory_bytes
    if memory is not None and step.gradient_bytes > memory:
        found.insert(
            0,
            f"{units.size(int(step.gradient_bytes))} do not fit the {units.size(memory)} of one "
            f"{step.product.name}: divide the model over GPUs (sharding, tensor or pipeline parallel)",
        )
    return found
