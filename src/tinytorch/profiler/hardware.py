"""What `KernelOptimizationProfiler` knows of the machine, under the names that its users know."""

from typing import Any

from tinytorch.machine.info import Machine
from tinytorch.runtime.threads import get_num_threads

#: Threads of a warp on every GPU of NVIDIA to date; told where there is none, too.
WARP_SIZE = 32
#: The first compute capability with tensor cores.
_TENSOR_CORES = (7, 0)


def detect(machine: Machine) -> dict[str, Any]:
    """Return what the system tells; sizes of caches in bytes, memory in GiB, None for what is unknown."""
    gpus = machine.gpus or ()
    gpu = gpus[0] if gpus else None
    capability = None if gpu is None else gpu.compute_capability
    memory = None if gpu is None else gpu.memory_bytes
    return {
        "cpu": machine.cpu,
        "microarchitecture": machine.microarchitecture,
        "instruction_sets": list(machine.instruction_sets),
        "cpu_cores": machine.usable_cpus,
        "threads": get_num_threads(),
        "memory_gb": None if machine.memory is None else machine.memory / 2**30,
        "cache_sizes": dict(machine.caches),
        "gpu_available": gpu is not None,
        "gpu_name": None if gpu is None else gpu.name,
        "gpu_memory_gb": 0.0 if gpu is None else None if memory is None else memory / 2**30,
        "compute_capability": capability,
        "tensor_cores": capability is not None and _version(capability) >= _TENSOR_CORES,
        "warp_size": WARP_SIZE,
    }


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
