"""The element formats of matrix instructions: packed bits to float64 and sums back to accumulators.

Floats are multiplied as float64, which holds every product of two exactly (but of f64); sums are rounded as
float64, then once to the accumulator: how hardware rounds is not specified. Integers stay exact throughout.
"""

from collections.abc import Mapping

import numpy as np

from tinytorch.gpu.ptx.semantics.convert import EIGHT_BIT_VALUES
from tinytorch.gpu.ptx.semantics.rounding import readable

#: Bits of one element; a register of 32 bits holds as many as fit, low bits first.
BITS: Mapping[str, int] = {
    "f16": 16,
    "bf16": 16,
    "tf32": 32,
    "e4m3": 8,
    "e5m2": 8,
    "s8": 8,
    "u8": 8,
    "s4": 4,
    "u4": 4,
    "f64": 64,
}

#: NumPy dtype in which a register of accumulators is read and written; two f16 share one.
ACCUMULATORS: Mapping[str, str] = {"f16": "u4", "f32": "f4", "s32": "i4", "f64": "f8"}

_TF32_BITS = np.uint32(0xFFFFE000)  # the low 13 bits of a float32 do not take part
_S32 = np.iinfo(np.int32)


_FLOAT8 = {kind: values.astype("f8") for kind, values in EIGHT_BIT_VALUES.items()}


def per_register(kind: str) -> int:
    """Return how many elements of a format one register holds.

    >>> per_register("f16"), per_register("e4m3"), per_register("f64")
    (2, 4, 1)
    """
    return max(32 // BITS[kind], 1)


def values(registers: np.ndarray, kind: str) -> np.ndarray:
    """Return the elements that packed registers hold; the last axis grows by `per_register`.

    `registers` is uint32, contiguous in its last axis; for f64 it is float64 already. Floats come as float64,
    integers as float32, which holds the sum of 64 products of 8 bits, and is multiplied faster.

    >>> values(np.array([0x3C00C000], "u4"), "f16")
    array([-2.,  1.])
    """
    match kind:
        case "f16":
            found = registers.view("f2")
        case "bf16":
            found = readable(registers.view("u2"), kind)
        case "tf32":
            found = (registers & _TF32_BITS).view("f4")
        case "e4m3" | "e5m2":
            return _FLOAT8[kind][registers.view("u1")]
        case "s8":
            return registers.view("i1").astype("f4")
        case "u8":
            return registers.view("u1").astype("f4")
        case "s4" | "u4":
            return _nibbles(registers.view("u1"), kind == "s4").astype("f4")
        case _:
            found = registers
    return found.astype("f8")


def _nibbles(octets: np.ndarray, signed: bool) -> np.ndarray:
    pairs = np.stack([octets & 15, octets >> 4], axis=-1).reshape(*octets.shape[:-1], -1).view("i1")
    return (pairs ^ 8) - 8 if signed else pairs


def rounded(sums: np.ndarray, kind: str, saturate: bool = False) -> np.ndarray:
    """Return sums in an accumulator's format: rounded once, or wrapped or clamped to 32 bits.

    >>> rounded(np.array([2.0**31]), "s32"), rounded(np.array([2.0**31]), "s32", saturate=True)
    (array([-2147483648], dtype=int32), array([2147483647], dtype=int32))
    """
    if kind == "s32":
        whole = np.clip(sums, _S32.min, _S32.max) if saturate else sums
        return whole.astype("i8").astype("i4")
    return sums.astype({"f16": "f2", "f32": "f4", "f64": "f8"}[kind])
