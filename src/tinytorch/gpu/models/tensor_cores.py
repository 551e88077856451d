"""Tensor cores: whether a product of matrices can run on them, by which instruction, and what that gains.

It takes a dtype that the GPU's tensor cores have, and rows that begin at multiples of 16 bytes. Each
instruction multiplies tiles of a fixed shape; what a matrix lacks to whole tiles is computed for nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.gpu.arch.capabilities import Capability, capability
from tinytorch.gpu.arch.products import Product
from tinytorch.gpu.models.tiles import tile_efficiency
from tinytorch.runtime.errors import InputError

#: Bits of each dtype in memory; tf32 lies there as fp32 does.
BITS = {
    **{"fp64": 64, "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16},
    **{"fp8": 8, "fp6": 6, "fp4": 4, "int8": 8, "int4": 4},
}
#: What else the dtypes are called, in NumPy, torch and ml_dtypes.
_NAMES = {
    **{"float64": "fp64", "double": "fp64", "float32": "fp32", "float": "fp32", "single": "fp32"},
    **{"tensorfloat32": "tf32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"},
    **{"float8_e4m3": "fp8", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8", "e4m3": "fp8", "e5m2": "fp8"},
    **{"float6_e2m3fn": "fp6", "float6_e3m2fn": "fp6", "e2m3": "fp6", "e3m2": "fp6"},
    **{"float4_e2m1fn": "fp4", "e2m1": "fp4", "uint8": "int8", "uint4": "int4"},
}
#: Rows of both operands have to begin at multiples of so many bytes.
ALIGNMENT = 16

Shape = tuple[int, int, int]

#: The largest dense shapes (M, N, K) of mma.sync from each capability on (PTX ISA, mma).
_MMA: dict[str, tuple[tuple[tuple[int, int], Shape], ...]] = {
    "fp16": (((8, 0), (16, 8, 16)), ((7, 5), (16, 8, 8)), ((7, 0), (8, 8, 4))),
    "bf16": (((8, 0), (16, 8, 16)),),
    "tf32": (((8, 0), (16, 8, 8)),),
    "fp64": (((9, 0), (16, 8, 16)), ((8, 0), (8, 8, 4))),
    "int8": (((8, 0), (16, 8, 32)), ((7, 5), (8, 8, 16)), ((7, 2), (16, 16, 16))),
    "int4": (((8, 0), (16, 8, 64)), ((7, 5), (8, 8, 32))),
    "fp8": (((8, 9), (16, 8, 32)),),
    "fp6": (((12, 0), (16, 8, 32)),),
    "fp4": (((12, 0), (16, 8, 64)),),
}
#: wgmma and tcgen05.mma go along K by so many bytes; of fp6 as of fp8, a byte each (PTX ISA).
_K_BYTES = 32


@dataclass(frozen=True)
class Instruction:
    """The instruction that tensor cores are used by, and the largest tile it multiplies."""

    name: str  # "mma.sync", "wgmma", "tcgen05.mma", or "wmma", which alone 7.2 has for int8
    shape: Shape  # M, N, K


@dataclass(frozen=True)
class TensorCoreUse:
    """Whether a product (M, K) @ (K, N) runs on tensor cores, and how well it fits them."""

    dtype: str
    shape: Shape  # M, N, K
    instruction: Instruction | None  # None if there are no tensor cores for the dtype
    alignment: int  # elements that 16 bytes hold
    misaligned: tuple[str, ...]  # of "N" and "K", whose rows do not all begin at 16 bytes
    efficiency: float  # useful multiplications by those of whole tiles of the least size
    requirements: tuple[str, ...]  # what to change, empty if nothing

    @property
    def compatible(self) -> bool:
        """Whether it runs on tensor cores, and its rows are aligned."""
        return self.instruction is not None and not self.misaligned


def dtype_name(dtype: Any) -> str:
    """Return the short name of a dtype given by name, or as one of NumPy, torch or ml_dtypes.

    Raises InputError for one that is not known.

    >>> dtype_name("bfloat16"), dtype_name(np.float16), dtype_name("torch.float8_e4m3fn"), dtype_name("TF32")
    ('bf16', 'fp16', 'fp8', 'tf32')
    """
    text = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None) or str(dtype)
    text = text.lower().removeprefix("torch.")
    name = _NAMES.get(text, text)
    if name not in BITS:
        raise InputError(f"dtype {dtype!r} is not known; known are {', '.join(BITS)}")
    return name


def alignment(dtype: Any) -> int:
    """Return the elements that rows have to be a multiple of, to begin at multiples of 16 bytes.

    >>> alignment("fp16"), alignment("int8"), alignment("tf32"), alignment("fp6")
    (8, 16, 4, 64)
    """
    bits = BITS[dtype_name(dtype)]
    return int(np.lcm(bits, 8 * ALIGNMENT)) // bits


def instruction(version: str | tuple[int, int] | Capability, dtype: Any) -> Instruction | None:
    """Return the instruction that uses tensor cores for a dtype; None if the capability has none for it.

    >>> instruction("9.0", "bf16")
    Instruction(name='wgmma', shape=(64, 256, 16))
    >>> instruction("8.0", "bf16").shape, instruction("7.5", "bf16"), instruction("10.0", "fp8").name
    ((16, 8, 16), None, 'tcgen05.mma')
    """
    held, name = capability(version), dtype_name(dtype)
    if name not in held.tensor_dtypes:
        return None
    if name != "fp64" and held.features & {"wgmma", "tcgen05"}:
        k = _K_BYTES * 8 // max(BITS[name], 8) if name != "fp4" else 2 * _K_BYTES
        if "wgmma" in held.features:
            return Instruction("wgmma", (64, 256, k))
        return Instruction("tcgen05.mma", (128, 256, k))
    shape = next(shape for since, shape in _MMA[name] if since <= (held.major, held.minor))
    return Instruction("wmma" if (str(held), name) == ("7.2", "int8") else "mma.sync", shape)


def use(version: str | tuple[int, int] | Capability, dtype: Any, m: int, n: int, k: int) -> TensorCoreUse:
    """Return how a product of row-major (M, K) and (K, N) can use tensor cores.

    Raises InputError for sizes below 1. The 16 bytes are NVIDIA's, Matrix Multiplication Background
    (Deep Learning Performance).

    >>> use("8.0", "fp16", 1000, 1000, 1000).compatible, use("8.0", "fp16", 1000, 1001, 1000).misaligned
    (True, ('N',))
    >>> print(use("7.5", "bf16", 64, 64, 64).requirements[0])
    compute capability 7.5 has no tensor cores for bf16: use fp16, int8 or int4
    """
    held, name = capability(version), dtype_name(dtype)
    if min(m, n, k) < 1:
        raise InputError(f"the sizes of a product must be at least 1, not {m}, {n}, {k}")
    by, step = instruction(held, name), alignment(name)
    misaligned = tuple(side for side, size in (("N", n), ("K", k)) if size % step)
    requirements = [
        f"make {side} a multiple of {step}, so that rows begin at multiples of {ALIGNMENT} bytes"
        for side in misaligned
    ]
    if by is None:
        others = list(held.tensor_dtypes)
        listed = " or ".join([*([", ".join(others[:-1])] if others[1:] else []), others[-1]])
        requirements.insert(0, f"compute capability {held} has no tensor cores for {name}: use {listed}")
        return TensorCoreUse(name, (m, n, k), None, step, misaligned, 0.0, tuple(requirements))
    rows, columns, depth = least_tile(by)
    efficiency = tile_efficiency((m, n), (rows, columns)) * k / (-(-k // depth) * depth)
    return TensorCoreUse(name, (m, n, k), by, step, misaligned, efficiency, tuple(requirements))


def least_tile(by: Instruction) -> Shape:
    """Return the smallest tile of an instruction: of wgmma and tcgen05.mma N goes down to 8.

    >>> least_tile(Instruction("wgmma", (64, 256, 16)))
    (64, 8, 16)
    """
    m, n, k = by.shape
    return (m, n, k) if by.name in {"mma.sync", "wmma"} else (64, 8, k)


def speedup(product: Product, dtype: Any) -> float:
    """Return the peak of tensor cores by that of the fp32 units: the most that they can gain.

    Raises InputError if the product has none for the dtype, or their rate is not known.

    >>> from tinytorch.gpu.arch import product
    >>> speedup(product("A100 80GB SXM"), "fp16"), round(speedup(product("H100 SXM"), "bf16"), 1)
    (16.0, 14.8)
    """
    name = dtype_name(dtype)
    if instruction(product.capability, name) is None:
        others = ", ".join(product.capability.tensor_dtypes)
        raise InputError(f"{product.name} has no tensor cores for {name}; it has them for {others}")
    return product.peak(name) / product.peak("fp32")
