"""Which GPU an analysis is for: the one asked for, the one in the machine, or one that is assumed.

What `hardware_config` overrides goes before what was detected; every analysis says which of these it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinytorch.gpu.arch import Product, capability, product, product_of
from tinytorch.gpu.arch.capabilities import WARP
from tinytorch.machine.gpus import Gpu
from tinytorch.profiler.checks import positive
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.errors import InputError

#: Where there is no GPU and none is asked for: the one that most of today's kernels are written for.
ASSUMED = "H100 SXM"


@dataclass(frozen=True)
class Device:
    """A GPU to analyse for, and how it was chosen: "given", "detected: …" or "assumed: …"."""

    product: Product
    how: str
    tensor_cores: bool = True  # False where `hardware_config` says that there are none
    warp_size: int = WARP

    @property
    def arch(self) -> str:
        """The architecture that kernels are compiled for: sm_90."""
        return self.product.capability.arch

    def modelled(self, what: str) -> str:
        """Return the provenance of a number that was modelled for this GPU.

        >>> Device(product("T4"), "given").modelled("bytes by bandwidth")
        'modelled: bytes by bandwidth, for T4 (given)'
        """
        return f"modelled: {what}, for {self.product.name} ({self.how})"

    def needs_warps_of_32(self) -> None:
        """Raise InputError where `hardware_config` has other warps than memory and kernels are known for."""
        if self.warp_size != WARP:
            raise InputError(
                f"memory and kernels are analysed for warps of {WARP}; hardware_config says {self.warp_size}"
            )


def choose(given: Any, overridden: Mapping[str, Any], gpus: tuple[Gpu, ...] | None) -> Device:
    """Return the GPU to analyse for.

    `given` is a product or its name, `overridden` what `hardware_config` says against what was detected,
    `gpus` the machine's. Raises InputError for a GPU that is not known.

    >>> choose("a100", {}, ()).product.name, choose(None, {}, ()).how
    ('A100 80GB SXM', 'assumed: there is no GPU here; device= names another')
    """
    if given is not None:
        chosen, how = given if isinstance(given, Product) else product(given), "given"
    elif overridden.get("gpu_name") or overridden.get("compute_capability"):
        chosen, how = _overridden(overridden)
    elif overridden.get("gpu_available") is False:
        chosen, how = product(ASSUMED), "assumed: hardware_config says that there is no GPU"
    else:
        chosen, how = _detected(gpus)
    if given is None and overridden.get("gpu_memory_gb"):
        memory = positive("gpu_memory_gb of hardware_config", overridden["gpu_memory_gb"])
        chosen = replace(chosen, memory_bytes=int(memory * 2**30))
    return Device(
        chosen,
        how,
        tensor_cores=bool(overridden.get("tensor_cores", True)),
        warp_size=integer("warp_size of hardware_config", overridden.get("warp_size", WARP), 1),
    )


def _overridden(said: Mapping[str, Any]) -> tuple[Product, str]:
    name, version = said.get("gpu_name"), said.get("compute_capability")
    if name and version:
        found = product_of(name, version)
        if found.capability != capability(version):
            raise InputError(
                f"{found.name} has compute capability {found.capability}, and hardware_config says {version}"
            )
        return found, "given by hardware_config"
    if name:
        return product(name), "given by hardware_config"
    return product_of(f"a GPU of {version}", version), "given by hardware_config"


def _detected(gpus: tuple[Gpu, ...] | None) -> tuple[Product, str]:
    if not gpus:
        return product(ASSUMED), "assumed: there is no GPU here; device= names another"
    here = gpus[0]
    try:
        return of(here), "detected: NVML tells of it"
    except InputError as error:
        return product(ASSUMED), f"assumed, as of the GPU here too little is known: {error}"


def of(gpu: Gpu) -> Product:
    """Return the product that a GPU of the machine is, with what it tells of itself.

    Raises InputError if neither its name nor its compute capability is known.

    >>> of(Gpu("NVIDIA H200", "9.0", 141 << 30, 1980, 3201, "570", 6144)).name
    'H200 SXM'
    """
    return product_of(
        gpu.name,
        gpu.compute_capability,
        clock_mhz=gpu.sm_clock_mhz,
        memory_bytes=gpu.memory_bytes,
        bandwidth=gpu.memory_bandwidth,
    )
