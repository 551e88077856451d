"""Occupancy: how many blocks, and so warps, an SM holds at once, and which resource is the limit.

Every resource of the SM holds so many blocks, and the scarcest decides: warps, registers, shared memory,
block slots and barriers. The counts are those of NVIDIA's cuda_occupancy.h; the tests compare the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu.arch.capabilities import (
    SHARED_PER_BLOCK_DEFAULT,
    THREADS_PER_BLOCK,
    WARP,
    Capability,
    capability,
)
from tinytorch.runtime.errors import InputError

#: Blocks that a resource holds which a kernel does not use.
UNLIMITED = int(np.iinfo(np.int32).max)
#: Hardware barriers that a block can name (PTX ISA, bar).
BARRIERS_PER_BLOCK = 16


@dataclass(frozen=True)
class Occupancy:
    """What an SM holds of a kernel; no blocks if it cannot run at all."""

    capability: Capability
    threads_per_block: int
    registers_per_thread: int
    shared_per_block: int  # bytes, static and dynamic
    barriers: int
    carveout: int
    opt_in: bool
    limits: Mapping[str, int | None]  # blocks that each resource holds; None for one that is not used

    @property
    def blocks_per_sm(self) -> int:
        """Blocks that an SM holds at once."""
        return min(limit for limit in self.limits.values() if limit is not None)

    @property
    def warps_per_sm(self) -> int:
        """Warps that an SM holds at once."""
        return self.blocks_per_sm * -(-self.threads_per_block // WARP)

    @property
    def share(self) -> float:
        """The warps by those that the SM could hold: what is commonly called occupancy."""
        return self.warps_per_sm / self.capability.warps_per_sm

    @property
    def limiters(self) -> tuple[str, ...]:
        """The resources that hold no more blocks than this."""
        return tuple(name for name, limit in self.limits.items() if limit == self.blocks_per_sm)

    def __str__(self) -> str:
        """Say it in words.

        >>> print(occupancy("9.0", 128, 168))
        3 blocks of 4 warps per SM: occupancy 18.8%, limited by registers
        """
        warps = -(-self.threads_per_block // WARP)
        return (
            f"{self.blocks_per_sm} block{'s' * (self.blocks_per_sm != 1)} of {warps} "
            f"warp{'s' * (warps != 1)} per SM: occupancy {self.share:.1%},"
            f" limited by {' and '.join(self.limiters)}"
        )


def occupancy(
    version: str | tuple[int, int] | Capability,
    threads_per_block: int,
    registers_per_thread: int,
    shared_per_block: int = 0,
    *,
    barriers: int = 1,
    carveout: int = 100,
    opt_in: bool = True,
) -> Occupancy:
    """Return how many blocks an SM holds, and what limits them.

    `shared_per_block` is in bytes, static and dynamic. `carveout` is the share of the shared memory, in
    percent, that the host prefers to L1; it is not held to where a block needs more. `opt_in` says whether
    the host lets the kernel have more than 48 KB. What cannot run gives no blocks; raises InputError for
    numbers that no kernel has. The same as cudaOccMaxActiveBlocksPerMultiprocessor.

    >>> found = occupancy("9.0", 128, 210, 98304)
    >>> found.blocks_per_sm, found.limiters, found.limits["registers"]
    (2, ('registers', 'shared memory'), 2)
    """
    held = capability(version)
    _check("threads per block", threads_per_block, 1, None)
    _check("registers per thread", registers_per_thread, 0, held.registers_per_thread)
    _check("bytes of shared memory per block", shared_per_block, 0, None)
    _check("barriers", barriers, 0, BARRIERS_PER_BLOCK)
    _check("percent of carve-out", carveout, 0, 100)
    limits = block_limits(
        held,
        threads_per_block,
        registers_per_thread,
        shared_per_block,
        barriers=barriers,
        carveout=carveout,
        opt_in=opt_in,
    )
    plain = {name: None if limit >= UNLIMITED else int(limit) for name, limit in limits.items()}
    return Occupancy(
        held,
        threads_per_block,
        registers_per_thread,
        shared_per_block,
        barriers,
        carveout,
        opt_in,
        plain,
    )


def to_gain_a_block(now: Occupancy) -> dict[str, int]:
    """Return what a kernel may use at most for one more block per SM, of what it uses too much of now.

    All of it has to be met together. Empty where none of it helps: the SM has no more room for blocks, or
    the carve-out leaves too little shared memory.

    >>> to_gain_a_block(occupancy("9.0", 128, 210, 98304))
    {'registers per thread': 168, 'shared bytes per block': 76800}
    >>> to_gain_a_block(occupancy("8.0", 32, 16))
    {}
    """
    held, wanted = now.capability, now.blocks_per_sm + 1
    if wanted > held.blocks_per_sm or wanted > held.warps_per_sm:
        return {}
    threads = min(now.threads_per_block, THREADS_PER_BLOCK, WARP * (held.warps_per_sm // wanted))
    registers = _most(
        now.registers_per_thread,
        np.arange(held.registers_per_thread + 1),
        lambda some: registers_limit(held, threads, some) >= wanted,
    )
    allocations = np.arange(held.shared_reserved, held.shared_per_sm + 1, held.shared_unit)
    shared = _most(
        now.shared_per_block,
        allocations - held.shared_reserved,
        lambda some: shared_limit(held, some, now.carveout, now.opt_in) >= wanted,
    )
    barriers = _most(
        now.barriers,
        np.arange(BARRIERS_PER_BLOCK + 1),
        lambda some: barriers_limit(held, some) >= wanted,
    )
    found = {
        "threads per block": (now.threads_per_block, threads),
        "registers per thread": (now.registers_per_thread, registers),
        "shared bytes per block": (now.shared_per_block, shared),
        "barriers": (now.barriers, barriers),
    }
    if any(most is None for _, most in found.values()):
        return {}
    return {name: most for name, (used, most) in found.items() if most is not None and most < used}


def best_block(
    version: str | tuple[int, int] | Capability,
    registers_per_thread: int,
    shared_per_block: int = 0,
    *,
    barriers: int = 1,
    carveout: int = 100,
    opt_in: bool = True,
) -> Occupancy:
    """Return the occupancy of the block size that fills an SM best, the largest of equals.

    See `occupancy`. Raises InputError if no block size runs. The same as
    cudaOccMaxPotentialOccupancyBlockSize.

    >>> best_block("8.6", 40).threads_per_block, best_block("8.6", 80).threads_per_block
    (768, 768)
    """
    sizes = range(THREADS_PER_BLOCK, 0, -WARP)
    found = [
        occupancy(
            version,
            threads,
            registers_per_thread,
            shared_per_block,
            barriers=barriers,
            carveout=carveout,
            opt_in=opt_in,
        )
        for threads in sizes
    ]
    best = max(found, key=lambda one: one.warps_per_sm)
    if best.blocks_per_sm == 0:
        raise InputError(
            f"no block with {shared_per_block} bytes of shared memory runs on compute capability"
            f" {best.capability}; a block may have {best.capability.shared_per_block}"
        )
    return best


def block_limits(
    held: Capability,
    threads: Any,
    registers: Any,
    shared: Any,
    *,
    barriers: Any = 1,
    carveout: Any = 100,
    opt_in: Any = True,
) -> dict[str, np.ndarray]:
    """Return the blocks that each resource of an SM holds: arguments as of `occupancy`, numbers or arrays.

    Nothing is checked. UNLIMITED stands for a resource that is not used.

    >>> {name: limit.tolist() for name, limit in block_limits(capability("7.5"), [32, 256], 64, 0).items()}
    {'warps': [32, 4], 'registers': [32, 4], 'shared memory': [2147483647, 2147483647], 'blocks': [16, 16], \
'barriers': [2147483647, 2147483647]}
    """
    limits = {
        "warps": warps_limit(held, threads),
        "registers": registers_limit(held, threads, registers),
        "shared memory": shared_limit(held, shared, carveout, opt_in),
        "blocks": np.asarray(held.blocks_per_sm),
        "barriers": barriers_limit(held, barriers),
    }
    shape = np.broadcast_shapes(*(limit.shape for limit in limits.values()))
    return {name: np.broadcast_to(limit, shape) for name, limit in limits.items()}


def warps_limit(held: Capability, threads: Any) -> np.ndarray:
    """Return the blocks whose warps an SM holds; none of blocks with more threads than a block may have."""
    threads = np.asarray(threads, np.int64)
    return np.where(threads > THREADS_PER_BLOCK, 0, held.warps_per_sm // -(-threads // WARP))


def registers_limit(held: Capability, threads: Any, registers: Any) -> np.ndarray:
    """Return the blocks whose registers an SM holds; each of its partitions gives its warps its own."""
    warps = -(-np.asarray(threads, np.int64) // WARP)
    per_warp = _round_up(WARP * np.asarray(registers, np.int64), held.register_unit)
    per_partition = held.registers_per_sm // held.partitions // np.maximum(per_warp, 1)
    return np.where(per_warp == 0, UNLIMITED, held.partitions * per_partition // warps)


def shared_limit(held: Capability, shared: Any, carveout: Any = 100, opt_in: Any = True) -> np.ndarray:
    """Return the blocks whose shared memory an SM holds; see `occupancy` on the arguments."""
    allocated = _round_up(np.asarray(shared, np.int64) + held.shared_reserved, held.shared_unit)
    most = np.where(opt_in, held.shared_per_block, SHARED_PER_BLOCK_DEFAULT) + held.shared_reserved
    preferred = np.asarray(carveout, np.int64) * held.shared_per_sm // 100
    # A block that needs more than what is preferred gets it.
    aside = _set_aside(held, np.maximum(preferred, allocated))
    blocks = aside // np.maximum(allocated, 1)
    return np.where(allocated > most, 0, np.where(allocated == 0, UNLIMITED, blocks))


def barriers_limit(held: Capability, barriers: Any) -> np.ndarray:
    """Return the blocks whose barriers an SM holds; before compute capability 9.0 they never limit it."""
    barriers = np.asarray(barriers, np.int64)
    blocks = (held.barriers_per_sm or 0) // np.maximum(barriers, 1)
    return np.where((barriers == 0) | (held.barriers_per_sm is None), UNLIMITED, blocks)


def _set_aside(held: Capability, wanted: np.ndarray) -> np.ndarray:
    """Return the smallest size that shared memory can be given in an SM which holds `wanted` bytes."""
    sizes = np.asarray(held.shared_sizes)
    return sizes[np.minimum(np.searchsorted(sizes, wanted), len(sizes) - 1)]


def _round_up(values: np.ndarray, unit: int) -> np.ndarray:
    return -(-values // unit) * unit


def _most(used: int, candidates: np.ndarray, fits: Callable[[np.ndarray], np.ndarray]) -> int | None:
    """Return what is used if that fits, else the largest candidate that does; None if there is none."""
    if fits(np.asarray(used)):
        return used
    return max((int(one) for one in candidates[fits(candidates)]), default=None)


def _check(name: str, value: int, least: int, most: int | None) -> None:
    if value < least or (most is not None and value > most):
        bound = f"at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{name} must be {bound}, not {value}")
