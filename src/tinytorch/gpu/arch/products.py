"""The GPUs that are sold: SMs, clocks, memory, links; and the peaks that follow from them.

A peak is SMs * FMA a clock * 2 * clock, never typed in. What NVML tells of the GPU at hand goes before the
table, and a GPU that is in no table is made of that and of its compute capability.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tinytorch.gpu.arch.capabilities import Capability, capability
from tinytorch.gpu.arch.sources import gathered
from tinytorch.runtime.errors import InputError


@dataclass(frozen=True)
class Product:
    """A GPU: clocks in MHz, memory in bytes, bandwidths in bytes a second; None for what is not known."""

    name: str
    capability: Capability
    sms: int | None
    clock_mhz: float | None  # the highest that the vendor rates it for
    tensor_clock_mhz: float | None  # the one its tensor peaks are rated at
    memory_bytes: int | None
    bandwidth: float | None
    l2_bytes: int | None
    link: str | None  # how it reaches its neighbours
    link_bandwidth: float | None  # in one direction
    halved: frozenset[str] = frozenset()  # dtypes that run at half the rate when fp32 accumulates
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def peak(self, dtype: str) -> float:
        """Return the dense operations a second of the fastest units for a dtype; fp32 has no tensor cores.

        Raises InputError where the dtype has no units, or its rate, the clock or the SMs are not known.

        >>> round(product("A100 80GB SXM").peak("bf16") / 1e12)
        312
        """
        tensor = self.capability.tensor_fma.get(dtype)
        plain = {"fp32": self.capability.fp32_fma, "fp64": self.capability.fp64_fma}.get(dtype)
        rate = tensor or plain
        if rate is None:
            known = ", ".join(self.dtypes) or "none"
            raise InputError(f"no rate is known for {dtype} on {self.name}; known are {known}")
        # Vendors rate fp64 on tensor cores, which draws less, at the clock of the other units.
        clock = self.tensor_clock_mhz if tensor and dtype != "fp64" else self.clock_mhz
        if self.sms is None or clock is None:
            raise InputError(
                f"the SMs and the clock of {self.name} are not known: give a product by its name"
            )
        return self.sms * rate * 2 * clock * 1e6 / (2 if dtype in self.halved else 1)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes whose rate is known.

        >>> product("V100 SXM").dtypes
        ('fp32', 'fp64', 'fp16')
        """
        plain = ("fp32",) if self.capability.fp64_fma is None else ("fp32", "fp64")
        return (*plain, *(dtype for dtype in self.capability.tensor_fma if dtype not in plain))

    def ridge(self, dtype: str) -> float:
        """Return the operations a byte from which on arithmetic, not memory, is the bound.

        >>> round(product("H100 SXM").ridge("bf16"))
        295
        """
        if self.bandwidth is None:
            raise InputError(f"the bandwidth of {self.name} is not known: give a product by its name")
        return self.peak(dtype) / self.bandwidth

    def __str__(self) -> str:
        """Return its name and compute capability.

        >>> print(product("rtx4090"))
        RTX 4090 (compute capability 8.9)
        """
        return f"{self.name} (compute capability {self.capability})"


_GIB, _MIB, _GB = 1 << 30, 1 << 20, 1e9
#: On these, tensor cores run at half their rate when the sum is kept in fp32, as machine learning does.
_GEFORCE = frozenset({"fp16", "bf16", "tf32", "fp8"})


def _row(name: str, version: str, *groups: Mapping[str, Mapping[str, Any]]) -> Product:
    cells, sources = gathered(*groups)
    cells = {"tensor_clock_mhz": cells["clock_mhz"], **cells}
    sources = {"tensor_clock_mhz": sources["clock_mhz"], **sources}
    return Product(name=name, capability=capability(version), sources=sources, **cells)


def _memory(gibibytes: int, gigabytes_a_second: float) -> dict[str, float]:
    return {"memory_bytes": gibibytes * _GIB, "bandwidth": gigabytes_a_second * _GB}


def _link(name: str, gigabytes_a_second: float) -> dict[str, str | float]:
    return {"link": name, "link_bandwidth": gigabytes_a_second * _GB}


_A100 = {"sysrqmts": {"sms": 108, "clock_mhz": 1410, "l2_bytes": 40 * _MIB}}
_H100 = {"klockwood": {"sms": 132, "clock_mhz": 1980, "tensor_clock_mhz": 1830}}

_ROWS = (
    _row(
        "V100 SXM",
        "7.0",
        {"sysrqmts": {"sms": 80, "clock_mhz": 1530, "l2_bytes": 6 * _MIB}},
        {"volta": {**_memory(32, 900), **_link("NVLink 2", 150)}},
    ),
    _row(
        "T4",
        "7.5",
        {"sysrqmts": {"sms": 40, "clock_mhz": 1590, "l2_bytes": 4 * _MIB, **_memory(16, 320)}},
        {"turing": _link("PCIe 3", 16)},
    ),
    _row("A100 40GB SXM", "8.0", _A100, {"sysrqmts": _memory(40, 1555), "a100": _link("NVLink 3", 300)}),
    _row("A100 80GB SXM", "8.0", _A100, {"acecloud": {**_memory(80, 2039), **_link("NVLink 3", 300)}}),
    _row(
        "A10",
        "8.6",
        {"a10": {"sms": 72, "clock_mhz": 1695, "l2_bytes": 6 * _MIB, **_memory(24, 600)}},
        {"a10": _link("PCIe 4", 32)},
    ),
    _row(
        "RTX 3090",
        "8.6",
        {"ga102": {"sms": 82, "clock_mhz": 1695, "l2_bytes": 6 * _MIB, **_memory(24, 936)}},
        {"ga102": {**_link("PCIe 4", 32), "halved": _GEFORCE}},
    ),
    _row(
        "L4",
        "8.9",
        {"ada": {"sms": 58, "l2_bytes": 48 * _MIB, **_link("PCIe 4", 32)}},
        {"hmc": {"clock_mhz": 2040, **_memory(24, 300)}},
    ),
    _row(
        "L40S",
        "8.9",
        {"ada": {"sms": 142, "clock_mhz": 2520, "l2_bytes": 96 * _MIB}},
        {"llmbook": {**_memory(48, 864), **_link("PCIe 4", 32)}},
    ),
    _row(
        "RTX 4090",
        "8.9",
        {"hmc": {"sms": 128, "clock_mhz": 2520, "l2_bytes": 72 * _MIB, **_memory(24, 1008)}},
        {"hmc": {"halved": _GEFORCE}, "ada": _link("PCIe 4", 32)},
    ),
    _row(
        "H100 SXM",
        "9.0",
        _H100,
        {"klockwood": {**_memory(80, 3350), **_link("NVLink 4", 450)}, "hopper": {"l2_bytes": 50 * _MIB}},
    ),
    _row(
        "H200 SXM",
        "9.0",
        _H100,
        {"acecloud": {**_memory(141, 4800), **_link("NVLink 4", 450)}, "hopper": {"l2_bytes": 50 * _MIB}},
    ),
    _row(
        "B200",
        "10.0",
        {"xla": {"sms": 148, "clock_mhz": 1965, "tensor_clock_mhz": 1965 * 0.934}},
        {"acecloud": {**_memory(180, 8000), **_link("NVLink 5", 900)}, "blackwell": {"l2_bytes": 126 * _MIB}},
    ),
    _row(
        "RTX 5090",
        "12.0",
        {"pocketmags": {"sms": 170, "clock_mhz": 2407, "l2_bytes": 96 * _MIB, **_memory(32, 1792)}},
        {"sm120": {"halved": _GEFORCE}, "blackwell": _link("PCIe 5", 64)},
    ),
)
#: The products that are known, by their name.
PRODUCTS: Mapping[str, Product] = {row.name: row for row in _ROWS}

#: What else a product is called: by NVML, or in short. Spelling is compared without case, spaces and dashes.
_ALIASES: Mapping[str, str] = {
    **{"Tesla V100-SXM2-32GB": "V100 SXM", "Tesla V100-SXM2-16GB": "V100 SXM", "V100": "V100 SXM"},
    **{"Tesla T4": "T4", "A100-SXM4-40GB": "A100 40GB SXM", "A100-SXM4-80GB": "A100 80GB SXM"},
    **{"A100": "A100 80GB SXM", "A100 SXM": "A100 80GB SXM", "A100 80GB": "A100 80GB SXM"},
    **{"A100 80 SXM": "A100 80GB SXM", "A100 40GB": "A100 40GB SXM", "A100 40 SXM": "A100 40GB SXM"},
    **{"H100 80GB HBM3": "H100 SXM", "H100": "H100 SXM", "H100 SXM5": "H100 SXM"},
    **{"H200": "H200 SXM", "B200 SXM": "B200"},
    **{f"GeForce {name}": name for name in ("RTX 3090", "RTX 4090", "RTX 5090")},
    **{name.removeprefix("RTX "): name for name in ("RTX 3090", "RTX 4090", "RTX 5090")},
}


def _spelling(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower().removeprefix("nvidia")


_SPELLINGS = {_spelling(name): known for name, known in {**{n: n for n in PRODUCTS}, **_ALIASES}.items()}


def product(name: str) -> Product:
    """Return a product by its name, however it is spelled, or as NVML calls it.

    Raises InputError for one that is not known.

    >>> product("NVIDIA H100 80GB HBM3").name, product("h100-sxm").sms
    ('H100 SXM', 132)
    """
    known = _SPELLINGS.get(_spelling(str(name)))
    if known is None:
        raise InputError(f"GPU {name!r} is not known; known are {', '.join(PRODUCTS)}")
    return PRODUCTS[known]


def product_of(
    name: str | None,
    compute_capability: str | tuple[int, int] | None = None,
    *,
    clock_mhz: float | None = None,
    memory_bytes: int | None = None,
    bandwidth: float | None = None,
    sms: int | None = None,
) -> Product:
    """Return the product that a GPU at hand is, with what it tells of itself through NVML; None for unknown.

    The clock is the highest that it may reach. A GPU that is in no table needs a compute capability that is.
    Raises InputError without either.

    >>> at_hand = product_of("NVIDIA H200", "9.0", memory_bytes=150_754_820_096)
    >>> at_hand.name, at_hand.memory_bytes, at_hand.sources["memory_bytes"], at_hand.sources["sms"]
    ('H200 SXM', 150754820096, 'nvml', 'klockwood')
    >>> product_of("NVIDIA RTX A6000", "8.6", sms=84, clock_mhz=1800).peak("fp32") / 1e12
    38.7072
    """
    told = {"clock_mhz": clock_mhz, "memory_bytes": memory_bytes, "bandwidth": bandwidth, "sms": sms}
    cells: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
    if _spelling(name or "") in _SPELLINGS:
        base = product(name or "")
        # A tensor clock below the other is a limit of its own; otherwise there is one clock.
        if clock_mhz and (
            base.tensor_clock_mhz == base.clock_mhz or clock_mhz < (base.tensor_clock_mhz or 0)
        ):
            cells["tensor_clock_mhz"] = clock_mhz
    elif compute_capability is not None:
        held = capability(compute_capability)
        halved = _GEFORCE if "GeForce" in (name or "") else frozenset()
        base = Product(name or "a GPU", held, None, None, None, None, None, None, None, None, halved)
        cells["tensor_clock_mhz"] = clock_mhz
    else:
        raise InputError(f"GPU {name!r} is not known, and its compute capability is not told")
    told_by = {key: "nvml" for key, value in cells.items() if value is not None}
    return replace(base, **cells, sources={**base.sources, **told_by})
