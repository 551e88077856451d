"""Memory coalescing: the sectors that a warp's requests to global memory touch, and those that would do.

An access pattern becomes the addresses of its warps, as `gpu.models.patterns` makes them; those of a real
kernel are what it really asked for, lane by lane (`gpu.analyze`). Caches are not part of it: what a request
touches, it touches whether it is found in a cache or not.
"""

from collections.abc import Sequence
from typing import Any

from tinytorch.gpu.models import coalescing, patterns
from tinytorch.profiler.checks import dtype_of
from tinytorch.profiler.device import Device
from tinytorch.profiler.kernel import Analyzed
from tinytorch.profiler.results import CoalescingAnalysis
from tinytorch.runtime import units
from tinytorch.runtime.arguments import integer

#: Efficiency from which there is nothing to advise: what a vector's partial end may cost.
GOOD = 0.9


def of_pattern(
    device: Device, pattern: str, data_shape: Sequence[int], dtype: Any, stride: int, seed: int
) -> CoalescingAnalysis:
    """Analyse a textbook pattern over an array of `data_shape`.

    Raises InputError for a pattern, shape, dtype, stride or seed that cannot be.
    """
    device.needs_warps_of_32()
    kind = dtype_of(dtype)
    itemsize = kind.itemsize
    stride, seed = integer("stride", stride, 1), integer("seed", seed, 0)
    stream = patterns.global_stream(pattern, data_shape, itemsize, stride, seed)
    moved = coalescing.sectors(stream.addresses, stream.active, stream.width)
    ideal = coalescing.ideal_sectors(stream.active, stream.width)
    lines = coalescing.lines(stream.addresses, stream.active, stream.width)
    scale = stream.warps / len(moved)  # where not all warps were made
    efficiency = float(ideal.sum() / moved.sum())
    how = f"modelled: distinct 32-byte segments of the addresses of {stream.note}"
    if stream.sampled:
        how += "; the total is extrapolated to all warps"
    advice = _advice(pattern, efficiency, float(moved.mean()), float(ideal.mean()), stride, itemsize)
    return {
        "access_pattern": pattern,
        "data_shape": [int(n) for n in data_shape],
        "dtype": str(kind),
        "stride": stride if pattern == "strided" else None,
        "device": device.product.name,
        "coalescing_efficiency": efficiency,
        "memory_transactions": round(float(moved.sum()) * scale),
        "ideal_transactions": round(float(ideal.sum()) * scale),
        "sectors_per_request": float(moved.mean()),
        "ideal_sectors_per_request": float(ideal.mean()),
        "lines_per_request": float(lines.mean()),
        "requests": stream.warps,
        "optimization_potential": 1 / efficiency,
        "accesses": [],
        "recommendations": advice,
        "provenance": {
            "coalescing_efficiency": f"{how}: those that would do by those touched",
            "memory_transactions": how,
            "ideal_transactions": "modelled: bytes of the active lanes in sectors of 32, request by request",
            "sectors_per_request": how,
            "ideal_sectors_per_request": "modelled: bytes of the active lanes in sectors of 32",
            "lines_per_request": "modelled: distinct 128-byte segments of the same addresses",
            "requests": "modelled: one for each warp of 32 threads, a thread an element",
            "optimization_potential": "the one count of sectors by the other",
        },
    }


def of_kernel(kernel: Analyzed, data_shape: Sequence[int] | None = None) -> CoalescingAnalysis:
    """Tell of a kernel's accesses to global memory, all of them together and each by itself."""
    totals, accesses = kernel.totals, kernel.accesses("global")
    moved = sum(access.sectors for access in accesses)
    ideal = sum(access.ideal for access in accesses)
    requests = sum(some.requests for some in totals.global_traffic)
    efficiency = ideal / moved if moved else 1.0
    return {
        "access_pattern": kernel.found.name,
        "data_shape": None if data_shape is None else list(data_shape),
        "dtype": None,
        "stride": None,
        "device": kernel.device.product.name,
        "coalescing_efficiency": efficiency,
        "memory_transactions": round(moved * kernel.scale),
        "ideal_transactions": round(ideal * kernel.scale),
        "sectors_per_request": moved / requests if requests else 0.0,
        "ideal_sectors_per_request": ideal / requests if requests else 0.0,
        "lines_per_request": None,
        "requests": round(requests * kernel.scale),
        "optimization_potential": 1 / efficiency,
        "accesses": kernel.rows("global"),
        "recommendations": kernel.memory_advice("global"),
        "provenance": {
            "coalescing_efficiency": kernel.ptx,
            "memory_transactions": kernel.ptx,
            "ideal_transactions": f"{kernel.ptx}; bytes of the active lanes in sectors of 32, or those "
            "touched if they are fewer",
            "sectors_per_request": kernel.ptx,
            "ideal_sectors_per_request": kernel.ptx,
            "lines_per_request": "unknown: not told by line",
            "requests": f"{kernel.ptx}: those of warps, bulk copies and fragments",
            "optimization_potential": "the one count of sectors by the other",
            "accesses": kernel.ptx,
        },
    }


def _advice(
    pattern: str, efficiency: float, moved: float, ideal: float, stride: int, itemsize: int
) -> list[str]:
    if efficiency >= GOOD:
        return []
    found = (
        f"{pattern}: {units.digits(moved)} sectors a request where {units.digits(ideal)} would do, so "
        f"{units.share(1 - efficiency)} of the bytes are moved for nothing"
    )
    help_by = {
        "column_major": "let neighbouring threads take neighbouring columns, or read tiles by rows and turn "
        "them in shared memory",
        "strided": f"lanes are {stride * itemsize} bytes apart: let neighbouring threads take neighbouring "
        "elements, or keep what is read together in an array of its own",
        "random": "sort the indices, or let a warp read whole records of 32 bytes and more",
    }
    return [f"{found}: {help_by.get(pattern, 'begin rows at multiples of 32 bytes, and use whole warps')}"]
