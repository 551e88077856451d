"""Fusion of kernels: the bytes that a sequence moves kernel by kernel, and in one.

Apart, every kernel reads its inputs from memory and writes its outputs there. Fused, what one makes for the
next stays in registers: memory sees only what comes from outside, once, and what is wanted in the end.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tinytorch.gpu.arch.products import Product
from tinytorch.gpu.models.roofs import LAUNCH_SECONDS, Bound, bound
from tinytorch.runtime.errors import InputError


@dataclass(frozen=True)
class Kernel:
    """A kernel: the bytes of the arrays that it reads and writes, by their names, and its operations."""

    name: str
    reads: Mapping[str, int]
    writes: Mapping[str, int]
    operations: float = 0
    dtype: str = "fp32"  # whose peak bounds the operations


@dataclass(frozen=True)
class Fusion:
    """A sequence of kernels apart and fused: bytes moved, and the least time."""

    bytes_apart: int
    bytes_fused: int
    apart: tuple[Bound, ...]  # of each kernel; they run one after the other
    fused: Bound

    @property
    def seconds_apart(self) -> float:
        """The least time of the kernels one by one."""
        return sum(one.seconds for one in self.apart)

    @property
    def speedup(self) -> float:
        """How much faster it can get, if both ways reach their bounds."""
        return self.seconds_apart / self.fused.seconds


def bytes_apart(kernels: Sequence[Kernel]) -> int:
    """Return the bytes that kernels move one by one.

    >>> scale = Kernel("scale", {"x": 400}, {"y": 400})
    >>> bytes_apart([scale, Kernel("relu", {"y": 400}, {"z": 400})])
    1600
    """
    return sum(_moved(kernel) for kernel in kernels)


def bytes_fused(kernels: Sequence[Kernel], kept: Collection[str] = ()) -> int:
    """Return the bytes that kernels move as one: external inputs once, and outputs that none of them reads.

    `kept` names arrays that are wanted although a later kernel reads them, as for a backward pass. Raises
    InputError for a sequence in which an array has two sizes, is written twice, or is kept and not written.

    >>> scale, relu = Kernel("scale", {"x": 400}, {"y": 400}), Kernel("relu", {"y": 400}, {"z": 400})
    >>> bytes_fused([scale, relu]), bytes_fused([scale, relu], kept=["y"])
    (800, 1200)
    """
    sizes: dict[str, int] = {}
    outside: set[str] = set()
    written: set[str] = set()
    read: set[str] = set()
    for kernel in kernels:
        for name, size in (*kernel.reads.items(), *kernel.writes.items()):
            if size < 0:
                raise InputError(f"array {name!r} of {kernel.name} cannot have {size} bytes")
            if sizes.setdefault(name, size) != size:
                raise InputError(
                    f"array {name!r} of {kernel.name} has {size} bytes, and {sizes[name]} before"
                )
        outside |= kernel.reads.keys() - written
        read |= kernel.reads.keys() & written
        for name in kernel.writes.keys() & written:
            raise InputError(f"array {name!r} is written twice, the second time by {kernel.name}")
        written |= kernel.writes.keys()
    for name in set(kept) - written:
        raise InputError(f"array {name!r} is to be kept and no kernel writes it")
    return sum(sizes[name] for name in outside) + sum(sizes[name] for name in (written - read) | set(kept))


def fusion(
    kernels: Sequence[Kernel],
    product: Product,
    kept: Collection[str] = (),
    launch_seconds: float = LAUNCH_SECONDS,
) -> Fusion:
    """Return what fusing a sequence saves on a GPU, in bytes and in the least time.

    Raises InputError for no kernels, and as `bytes_fused`.

    >>> from tinytorch.gpu.arch import product
    >>> size = 4 * 2**24
    >>> chain = [Kernel("scale", {"x": size}, {"y": size}), Kernel("relu", {"y": size}, {"z": size})]
    >>> round(fusion(chain, product("H100 SXM")).speedup, 3)
    2.0
    """
    if not kernels:
        raise InputError("give at least one kernel")
    apart = tuple(
        bound(product, one.dtype, one.operations, _moved(one), 1, launch_seconds) for one in kernels
    )
    together = bytes_fused(kernels, kept)
    moving = bound(product, kernels[0].dtype, 0, together, 1, launch_seconds)
    fused = replace(moving, compute_seconds=sum(one.compute_seconds for one in apart))
    return Fusion(bytes_apart(kernels), together, apart, fused)


def _moved(kernel: Kernel) -> int:
    return sum(kernel.reads.values()) + sum(kernel.writes.values())
