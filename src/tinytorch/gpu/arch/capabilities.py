"""What a GPU of a compute capability can hold and do: limits of an SM, rates, kinds of tensor core.

Rates are fused multiply-adds that an SM does in a clock. A rate that no document gives is left out rather
than guessed; so is compute capability 11.0, of which NVIDIA's own files say 24 and 32 blocks per SM.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinytorch.gpu.arch.sources import gathered
from tinytorch.runtime.errors import InputError

WARP = 32
THREADS_PER_BLOCK = 1024
#: Bytes of shared memory that a block may have without the host asking for more.
SHARED_PER_BLOCK_DEFAULT = 48 << 10


@dataclass(frozen=True)
class Capability:
    """A compute capability: what an SM of it can hold, in units and bytes, and its rates in FMA a clock."""

    major: int
    minor: int
    threads_per_sm: int
    blocks_per_sm: int
    registers_per_sm: int
    registers_per_thread: int
    register_unit: int  # registers are given to a warp in multiples of it
    partitions: int  # parts of an SM, each with its scheduler and its share of the registers
    shared_per_sm: int
    shared_per_block: int  # the most that a block may have, if the host asks for it
    shared_reserved: int  # what the driver takes of it for each block
    shared_unit: int  # shared memory is given to a block in multiples of it
    shared_sizes: tuple[int, ...]  # how much of the L1 can be made shared memory
    barriers_per_sm: int | None  # None where they never limit the blocks
    fp32_fma: int
    fp64_fma: int | None
    tensor_dtypes: tuple[str, ...]
    tensor_fma: Mapping[str, int]  # by dtype, dense, those that are known
    features: frozenset[str]  # of "cp.async", "cluster", "tma", "wgmma", "tcgen05"
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def warps_per_sm(self) -> int:
        """Warps that an SM can hold."""
        return self.threads_per_sm // WARP

    @property
    def arch(self) -> str:
        """The name that compilers use.

        >>> capability("9.0").arch
        'sm_90'
        """
        return f"sm_{self.major}{self.minor}"

    def __str__(self) -> str:
        """Return it as NVIDIA writes it.

        >>> print(capability("sm_100a"))
        10.0
        """
        return f"{self.major}.{self.minor}"


def _sizes(*kilobytes: int) -> tuple[int, ...]:
    return tuple(size << 10 for size in kilobytes)


def _rates(**rates: int) -> dict[str, int]:
    return rates


_VOLTA, _TURING = _sizes(0, 8, 16, 32, 64, 96), _sizes(32, 64)
_SMALL = _sizes(0, 8, 16, 32, 64, 100)
_AMPERE = _sizes(0, 8, 16, 32, 64, 100, 132, 164)
_HOPPER = (*_AMPERE, *_sizes(196, 228))

_REGISTERS: dict[str, dict[str, Any]] = {
    "header": {"register_unit": 256, "partitions": 4},
    "cccl": {"registers_per_sm": 64 << 10, "registers_per_thread": 255},
}
_NO_BARRIERS: dict[str, dict[str, Any]] = {"header": {"barriers_per_sm": None}}


def _shared(
    sizes: tuple[int, ...], reserved: int, unit: int, source: str = "cccl"
) -> dict[str, dict[str, Any]]:
    """Return the cells on shared memory; a block may have all of an SM's but what is reserved."""
    most = sizes[-1]
    limits = {"shared_per_sm": most, "shared_per_block": most - reserved, "shared_reserved": reserved}
    return {"header": {"shared_sizes": sizes, "shared_unit": unit}, source: limits}


def _row(version: str, *groups: Mapping[str, Mapping[str, Any]]) -> Capability:
    cells, sources = gathered(_REGISTERS, *groups)
    major, minor = version.split(".")
    return Capability(major=int(major), minor=int(minor), sources=sources, **cells)


_AMPERE_DTYPES = ("fp16", "bf16", "tf32", "fp64", "int8", "int4")
_BLACKWELL_DTYPES = ("fp16", "bf16", "tf32", "fp64", "int8", "fp8", "fp6", "fp4")
_GEFORCE_DTYPES = ("fp16", "bf16", "tf32", "int8", "fp8", "fp6", "fp4")
_ASYNC = frozenset({"cp.async"})
_TMA = _ASYNC | {"cluster", "tma"}

#: The capabilities that are known, by their version.
CAPABILITIES: Mapping[str, Capability] = {
    str(row): row
    for row in (
        _row(
            "7.0",
            _shared(_VOLTA, reserved=0, unit=256),
            _NO_BARRIERS,
            {"header": {"blocks_per_sm": 32}, "cccl": {"threads_per_sm": 2048, "features": frozenset()}},
            {"wikipedia": {"fp32_fma": 64, "fp64_fma": 32}, "ptx": {"tensor_dtypes": ("fp16",)}},
            {"forum": {"tensor_fma": _rates(fp16=512)}},
        ),
        _row(
            "7.2",
            _shared(_VOLTA, reserved=0, unit=256, source="wikipedia"),
            _NO_BARRIERS,
            {"header": {"blocks_per_sm": 32}, "xavier": {"threads_per_sm": 2048, "fp32_fma": 64}},
            {"wikipedia": {"fp64_fma": 32, "tensor_fma": _rates(fp16=512, int8=1024)}},
            {"ptx": {"tensor_dtypes": ("fp16", "int8"), "features": frozenset()}},
        ),
        _row(
            "7.5",
            _shared(_TURING, reserved=0, unit=256),
            _NO_BARRIERS,
            {"header": {"blocks_per_sm": 16}, "cccl": {"threads_per_sm": 1024, "features": frozenset()}},
            {"wikipedia": {"fp32_fma": 64, "fp64_fma": 2}},
            {"ptx": {"tensor_dtypes": ("fp16", "int8", "int4")}},
            {"wikipedia": {"tensor_fma": _rates(fp16=512, int8=1024, int4=2048)}},
        ),
        _row(
            "8.0",
            _shared(_AMPERE, reserved=1024, unit=128),
            _NO_BARRIERS,
            {"header": {"blocks_per_sm": 32}, "cccl": {"threads_per_sm": 2048, "features": _ASYNC}},
            {"xla": {"fp32_fma": 64, "fp64_fma": 32}, "ptx": {"tensor_dtypes": _AMPERE_DTYPES}},
            {"xla": {"tensor_fma": _rates(fp16=1024, bf16=1024, tf32=512, fp64=64, int8=2048)}},
        ),
        _row(
            "8.6",
            _shared(_SMALL, reserved=1024, unit=128),
            _NO_BARRIERS,
            {"header": {"blocks_per_sm": 16}, "cccl": {"threads_per_sm": 1536, "features": _ASYNC}},
            {"wikipedia": {"fp32_fma": 128, "fp64_fma": 2}, "ptx": {"tensor_dtypes": _AMPERE_DTYPES}},
            {"wikipedia": {"tensor_fma": _rates(fp16=512, bf16=512, tf32=256, int8=1024, int4=2048)}},
        ),
        _row(
            "8.7",
            _shared(_AMPERE, reserved=1024, unit=128, source="wikipedia"),
            _NO_BARRIERS,
            {"header": {"blocks_per_sm": 16}, "orin": {"threads_per_sm": 1536, "fp32_fma": 128}},
            {"wikipedia": {"fp64_fma": 2}, "ptx": {"tensor_dtypes": _AMPERE_DTYPES, "features": _ASYNC}},
            {"none": {"tensor_fma": {}}},
        ),
        _row(
            "8.9",
            _shared(_SMALL, reserved=1024, unit=128),
            _NO_BARRIERS,
            {"header": {"blocks_per_sm": 24}, "cccl": {"threads_per_sm": 1536, "features": _ASYNC}},
            {"wikipedia": {"fp32_fma": 128, "fp64_fma": 2}},
            {"ptx": {"tensor_dtypes": (*_AMPERE_DTYPES, "fp8")}},
            {
                "wikipedia": {
                    "tensor_fma": _rates(fp16=512, bf16=512, tf32=256, fp8=1024, int8=1024, int4=2048)
                }
            },
        ),
        _row(
            "9.0",
            _shared(_HOPPER, reserved=1024, unit=128),
            {"header": {"blocks_per_sm": 32, "barriers_per_sm": 64}, "cccl": {"threads_per_sm": 2048}},
            {"xla": {"fp32_fma": 128, "fp64_fma": 64}, "sm120": {"features": _TMA | {"wgmma"}}},
            {"xla": {"tensor_fma": _rates(fp16=2048, bf16=2048, tf32=1024, fp64=128, int8=4096, fp8=4096)}},
            {"ptx": {"tensor_dtypes": ("fp16", "bf16", "tf32", "fp64", "int8", "fp8")}},
        ),
        _row(
            "10.0",
            _shared(_HOPPER, reserved=1024, unit=128),
            {"header": {"blocks_per_sm": 32, "barriers_per_sm": 64}, "cccl": {"threads_per_sm": 2048}},
            {"xla": {"fp32_fma": 128, "fp64_fma": 64}, "sm120": {"features": _TMA | {"tcgen05"}}},
            {
                "xla": {
                    "tensor_fma": _rates(fp16=4096, bf16=4096, tf32=2048, fp64=64)
                    | _rates(int8=8192, fp8=8192, fp6=8192, fp4=16384)
                }
            },
            {"ptx": {"tensor_dtypes": _BLACKWELL_DTYPES}},
        ),
        _row(
            "10.3",
            _shared(_HOPPER, reserved=1024, unit=128),
            # The header of CUDA 13.0 still says 64 barriers, that of 13.5 says 32.
            {"header": {"blocks_per_sm": 32, "barriers_per_sm": 32}, "cccl": {"threads_per_sm": 2048}},
            {"wikipedia": {"fp32_fma": 128}, "sm120": {"features": _TMA | {"tcgen05"}}},
            {"none": {"fp64_fma": None, "tensor_fma": {}}, "ptx": {"tensor_dtypes": _BLACKWELL_DTYPES}},
        ),
        _row(
            "12.0",
            _shared(_SMALL, reserved=1024, unit=128),
            {"header": {"blocks_per_sm": 24, "barriers_per_sm": 24}, "cccl": {"threads_per_sm": 1536}},
            {"sm120": {"fp32_fma": 128, "fp64_fma": 2, "features": _TMA, "tensor_dtypes": _GEFORCE_DTYPES}},
            {
                "sm120": {
                    "tensor_fma": _rates(fp16=512, bf16=512, tf32=256)
                    | _rates(int8=1024, fp8=1024, fp6=1024, fp4=2048)
                }
            },
        ),
        _row(
            "12.1",
            _shared(_SMALL, reserved=1024, unit=128, source="sm120"),
            {"header": {"blocks_per_sm": 24, "barriers_per_sm": 24}, "sm120": {"threads_per_sm": 1536}},
            {"sm120": {"fp32_fma": 128, "fp64_fma": 2, "features": _TMA, "tensor_dtypes": _GEFORCE_DTYPES}},
            {"none": {"tensor_fma": {}}},
        ),
    )
}


def capability(version: "str | tuple[int, int] | Capability") -> Capability:
    """Return a compute capability by its version, "9.0" or (9, 0), or by what a compiler calls it, "sm_90a".

    Raises InputError for one that is not known.

    >>> capability("sm_80") is capability((8, 0)) is capability("8.0")
    True
    >>> capability("9.0").shared_per_block
    232448
    """
    if isinstance(version, Capability):
        return version
    text = ".".join(str(part) for part in version) if isinstance(version, tuple) else str(version)
    found = re.fullmatch(r"(?:sm_?|compute_)?(\d+)\.?(\d)[af]?", text.strip().lower())
    known = CAPABILITIES.get(f"{found[1]}.{found[2]}") if found else None
    if known is None:
        names = ", ".join(CAPABILITIES)
        raise InputError(f"compute capability {version!r} is not known; known are {names}, also as sm_90")
    return known
