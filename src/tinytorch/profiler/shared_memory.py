"""Shared memory: how much of it a block takes, how its banks answer, and what staging data in it gains.

Without it each use of a byte is read from the GPU's memory; with it a byte is read once, written to shared
memory, and used from there, in as many wavefronts as bank conflicts make. Caches, which may serve some uses
without it, and overlap of the two, are left out: the gain is what traffic alone explains.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.analysis.result import AccessFigures
from tinytorch.gpu.arch import SOURCES
from tinytorch.gpu.models import banks, patterns
from tinytorch.gpu.models.occupancy import shared_limit, warps_limit
from tinytorch.profiler.checks import positive
from tinytorch.profiler.device import Device
from tinytorch.profiler.kernel import Analyzed
from tinytorch.profiler.results import SharedMemoryAnalysis
from tinytorch.runtime import units
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.errors import InputError

PATTERNS = ("strided", "columns")
_MOST = 2**48  # bytes


def of_pattern(
    device: Device,
    data_size: int,
    reuse: float,
    *,
    pattern: str,
    stride: int | None,
    width: int,
    columns: int,
    padding: int,
) -> SharedMemoryAnalysis:
    """Analyse `data_size` bytes a block, each used `reuse` times, read in a pattern.

    Raises InputError for what cannot be.
    """
    device.needs_warps_of_32()
    size = integer("kernel_data_size", data_size, 1)
    if size > _MOST:
        raise InputError(f"kernel_data_size of {size} bytes is more than any GPU has")
    uses = positive("reuse_factor", reuse)
    if pattern == "strided":
        stream = patterns.shared_strided(max(1, width // banks.WORD) if stride is None else stride, width)
    elif pattern == "columns":
        stream = patterns.shared_columns(columns, padding, width)
    else:
        raise InputError(f"there is no pattern {pattern!r}; the patterns are {', '.join(PATTERNS)}")
    taken = banks.wavefronts(stream.addresses, stream.active, stream.width)
    ideal = banks.ideal_wavefronts(stream.active, stream.width)
    how = f"modelled: wavefronts of 32 banks of 4 bytes, {stream.note}, {width} bytes a lane"
    mean, least = float(taken.mean()), float(ideal.mean())
    advice = [_conflict_advice(mean, least, stream.note)] if mean > least else []
    return result(
        device,
        size,
        uses,
        wavefronts=mean,
        ideal=least,
        how_conflicts=how,
        how_size="given",
        limits=_limits(device, size),
        advice=[*advice, *_staging_advice(device, uses, mean / least)],
    )


def of_kernel(kernel: Analyzed) -> SharedMemoryAnalysis:
    """Tell of a kernel's shared memory: its size, how often what is stored there is loaded, its conflicts."""
    requests, accesses = kernel.totals.shared.requests, kernel.accesses("shared")
    stored = _bytes(accesses, "store")
    used = _bytes(accesses, "load") + _bytes(accesses, "atomic")
    return result(
        kernel.device,
        kernel.found.shared,
        used / stored if stored and not _goes_around_lanes(kernel) else None,
        wavefronts=kernel.totals.shared.cost / requests if requests else 0.0,
        ideal=kernel.totals.shared.ideal / requests if requests else 0.0,
        how_conflicts=kernel.ptx,
        how_size=kernel.ptx,
        limits=_kernel_limits(kernel),
        advice=kernel.memory_advice("shared"),
        accesses=kernel.rows("shared"),
    )


def _kernel_limits(kernel: Analyzed) -> dict[str, int]:
    """Return the blocks that each resource of an SM holds; without machine code registers are not known."""
    found, device = kernel.found, kernel.device
    if found.occupancy is not None:
        return {name: limit for name, limit in found.occupancy.limits.items() if limit is not None}
    warps = warps_limit(device.product.capability, math.prod(found.block))
    return {"warps": int(warps), **_limits(device, found.shared)}


def _limits(device: Device, size: int) -> dict[str, int]:
    held = device.product.capability
    return {"shared memory": int(shared_limit(held, size)), "blocks": held.blocks_per_sm}


def _goes_around_lanes(kernel: Analyzed) -> bool:
    """Say whether bulk copies or tensor cores go to shared memory by themselves: that is not counted."""
    if any(not access.cost_known for access in kernel.accesses("shared")):
        return True
    bulk = (kernel.totals.bulk_loads, kernel.totals.bulk_stores)
    return any(some.requests for some in bulk) or kernel.found.tensor_cores.by in ("wgmma", "tcgen05")


def _bytes(accesses: Sequence[AccessFigures], kind: str) -> int:
    return sum(one.lanes * one.bits // 8 for one in accesses if one.kind == kind)


def result(
    device: Device,
    size: int,
    uses: float | None,
    *,
    wavefronts: float,
    ideal: float,
    how_conflicts: str,
    how_size: str,
    limits: Mapping[str, int],
    advice: list[str],
    accesses: list[dict[str, Any]] | None = None,
) -> SharedMemoryAnalysis:
    """Return the analysis of bytes and uses whose requests take so many wavefronts, ideally fewer.

    `limits` are the blocks that each resource of an SM holds.
    """
    held = device.product.capability
    slowdown = wavefronts / ideal if ideal else 1.0
    gain = None if uses is None else performance_gain(device, uses, slowdown)
    conflict_free = None if uses is None else performance_gain(device, uses, 1.0)
    blocks = min(limits.values())
    advice = [*_size_advice(device, size), *advice]
    fits = size <= held.shared_per_block
    how_gains = [_how_gain(device, uses, one, fits) for one in (gain, conflict_free)]
    if uses is not None and not fits:
        gain = conflict_free = 1.0
    return {
        "data_size_bytes": size,
        "shared_memory_available": held.shared_per_block,
        "utilization_ratio": size / held.shared_per_block,
        "reuse_factor": uses,
        "bank_conflicts": wavefronts - ideal,
        "wavefronts_per_request": wavefronts,
        "ideal_wavefronts_per_request": ideal,
        "blocks_per_sm": blocks,
        "performance_gain": gain,
        "performance_gain_without_conflicts": conflict_free,
        "device": device.product.name,
        "optimization_opportunities": advice,
        "accesses": accesses or [],
        "recommendations": advice,
        "provenance": {
            "data_size_bytes": how_size,
            "shared_memory_available": f"table of compute capability {held}: "
            f"{SOURCES[held.sources['shared_per_block']]}; {device.product.name} ({device.how})",
            "utilization_ratio": "the one size by the other",
            "reuse_factor": how_size if uses is not None else _unknown(device, uses),
            "bank_conflicts": how_conflicts,
            "wavefronts_per_request": how_conflicts,
            "ideal_wavefronts_per_request": how_conflicts,
            "blocks_per_sm": _how_blocks(device, limits),
            "performance_gain": how_gains[0],
            "performance_gain_without_conflicts": how_gains[1],
        },
    }


def performance_gain(device: Device, uses: float, slowdown: float) -> float | None:
    """Return the time without shared memory by that with it; None if the GPU's rates are not known.

    `slowdown` is the wavefronts by those without conflicts. Per byte: uses / G against
    1 / G + 1 / S + uses * slowdown / S, with G the memory's bandwidth and S that of all SMs' banks.

    >>> from tinytorch.gpu.arch import product
    >>> round(performance_gain(Device(product("H100 SXM"), "given"), 16, 1.0), 2)
    5.92
    """
    chip = device.product
    if chip.bandwidth is None or chip.sms is None or chip.clock_mhz is None:
        return None
    from_memory = 1 / chip.bandwidth
    from_banks = 1 / (chip.sms * banks.BANKS * banks.WORD * chip.clock_mhz * 1e6)
    return uses * from_memory / (from_memory + from_banks + uses * slowdown * from_banks)


def _how_gain(device: Device, uses: float | None, gain: float | None, fits: bool) -> str:
    launched = "" if fits else "1, as a block of this size cannot be launched; of tiles that fit "
    if gain is None:
        unknown = _unknown(device, uses)
        return unknown if fits or uses is None else device.modelled(f"{launched}{unknown}")
    value = "" if fits else f"{units.digits(gain)}, the "
    return device.modelled(
        f"{launched}{value}time of reading each use from memory by that of one reading, one writing to "
        "shared memory and the uses from there; no caches, no overlap, and what staging does for coalescing "
        "is not counted"
    )


def _how_blocks(device: Device, limits: Mapping[str, int]) -> str:
    blocks = min(limits.values())
    slots = f"the {device.product.capability.blocks_per_sm} blocks that it has room for"
    limiters = [slots if name == "blocks" else name for name, limit in limits.items() if limit == blocks]
    unknown = [name for name in ("warps", "registers") if name not in limits]
    apart = f"; {' and '.join(unknown)} are not known and left out" if unknown else ""
    return device.modelled(f"blocks that an SM holds, limited by {' and '.join(limiters)}{apart}")


def _unknown(device: Device, uses: float | None) -> str:
    if uses is None:
        return (
            "unknown: nothing is stored to shared memory, or bulk copies or tensor cores go there themselves"
        )
    return f"unknown: the bandwidth, SMs or clock of {device.product.name} are not known"


def _conflict_advice(wavefronts: float, ideal: float, where: str) -> str:
    return (
        f"{where}: {units.digits(wavefronts)} wavefronts a request where {units.digits(ideal)} would do: pad "
        "rows by one word, or let neighbouring lanes take neighbouring words"
    )


def _staging_advice(device: Device, uses: float, slowdown: float) -> list[str]:
    gain, conflict_free = (performance_gain(device, uses, slow) for slow in (slowdown, 1.0))
    if gain is None or conflict_free is None or gain >= 1:
        return []
    what = "conflicts undo what staging gains" if conflict_free > 1 else "read it where it is used"
    return [
        f"each byte is used {units.digits(uses)} times: staging makes that {units.digits(1 / gain)} times "
        f"slower, without conflicts {units.digits(conflict_free)} times as fast: {what}"
    ]


def _size_advice(device: Device, size: int) -> list[str]:
    held = device.product.capability
    available = held.shared_per_block
    if size > available:
        parts = math.ceil(size / available)
        rounded = units.size(size)
        told = f"{size:,} bytes" if rounded == units.size(available) else rounded
        return [
            f"{told} do not fit the {units.size(available)} that a block may have on "
            f"{device.product.name}, so it cannot be launched: work in {parts:,} tiles or more"
        ]
    if shared_limit(held, size) == 1:
        return [
            f"{units.size(size)} leave room for one block on an SM, which waits at every barrier: blocks of "
            f"at most {units.size(_half(device))} would let two run"
        ]
    return []


def _half(device: Device) -> int:
    """Return the most bytes a block may have for two blocks on an SM."""
    held = device.product.capability
    sizes = np.arange(0, held.shared_per_block + 1, held.shared_unit)
    return int(sizes[shared_limit(held, sizes) >= 2].max())
