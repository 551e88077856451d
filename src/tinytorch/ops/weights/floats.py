"""Weights that the float kernels multiply: floats of any width, and int8 that is widened as it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from tinytorch.ops.epilogue import finish_rows
from tinytorch.ops.packed import pack, pack_codes, panel_width, unpack
from tinytorch.ops.plan import in_pairs, prepare_packed
from tinytorch.ops.product import multiply_packed, run
from tinytorch.ops.weights.base import NO_BIAS, Form, PackedWeight, expect, float_dtype, number, plain_rows
from tinytorch.runtime.arrays import (
    BFLOAT16,
    FLOAT32,
    FLOATS,
    HALVES,
    INT8,
    Array,
    DType,
    bits,
    contiguous,
    convert,
    promote,
)
from tinytorch.runtime.building import lazy
from tinytorch.runtime.threads import get_num_threads
from tinytorch.simd.activation import NONE


@dataclass(frozen=True, eq=False, repr=False)
class FloatWeight(PackedWeight):
    """A matrix of floats in panels.

    `rounds` brings float32 rows to bfloat16, too, so that a CPU that multiplies pairs of them does.
    """

    panels: Array  # of `ops.packed.pack`
    rounds: bool = False

    kind: ClassVar[str] = "float"

    @property
    def dtype(self) -> DType:
        """What the weights are kept as."""
        return self.panels.dtype

    @lazy
    def bits(self) -> Array:
        """The panels as compiled code takes them: half types as the 16 bits they are."""
        return bits(self.panels)

    def arrays(self) -> dict[str, Array]:
        """Return what it consists of."""
        return {"panels": self.panels}

    def options(self) -> Form:
        """Return what the panels need to be understood."""
        return {"dtype": str(self.dtype), "width": panel_width(self.dtype), "rounds": self.rounds}

    @classmethod
    def from_arrays(cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form) -> "FloatWeight":
        """Make a weight of its panels, laid out anew if they are of another width."""
        dtype = float_dtype(options["dtype"])
        panels = _panels(arrays, dtype, shape, number(options, "width", 1, 4096))
        if panels.shape[1] != shape[0] * panel_width(dtype):
            panels = pack(unpack(panels, shape))
        return cls(shape, panels, options["rounds"] is True)

    def unpacked(self) -> Array:
        """Return the (in, out) matrix, as it was given."""
        return unpack(self.panels, self.shape)

    def values(self) -> Array:
        """Return the (in, out) matrix."""
        return self.unpacked()

    def result_dtype(self, x: DType, bias: DType | None) -> DType:
        """Return what input, weight and bias are promoted to."""
        if self.rounds and x == FLOAT32 and bias in (None, FLOAT32):
            return FLOAT32
        dtype = promote(x=x, weight=self.dtype, **({} if bias is None else {"bias": bias}))
        if dtype not in FLOATS:
            raise TypeError(f"x {x} and packed weight {self.dtype} have no common float dtype")
        return dtype

    def rows(self, x: Array, computed: DType) -> Array:
        """Return x contiguous, its bits where the CPU multiplies pairs of bfloat16."""
        if self.rounds and computed == FLOAT32 and x.dtype == FLOAT32:
            x = convert(x, BFLOAT16)
        paired = in_pairs(computed, x.dtype, self.dtype, len(x))
        return bits(contiguous(x, x.dtype if paired else computed))

    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write the layer's result to `out`."""
        narrow = self.dtype if out.dtype == FLOAT32 and self.dtype in HALVES else None
        fits = narrow or self.dtype == out.dtype
        panels = self.bits if fits else pack(convert(self.unpacked(), out.dtype))
        multiply_packed(x, panels, bias, activation, out, narrow)

    def at_once(self, x: Array, bias: Array | None, activation: int, out: Array) -> bool:
        """Do the same for the plainest of arguments."""
        dtype = x.dtype
        narrow = self.dtype if dtype is FLOAT32 and self.dtype in HALVES else None
        if self.rounds or not (narrow or self.dtype == dtype):
            return False
        prepared = prepare_packed(dtype, x.shape, self.shape[1], get_num_threads(), narrow)
        return run(prepared, x, self.bits, out, bias, activation)


@dataclass(frozen=True, eq=False, repr=False)
class WidenedWeight(PackedWeight):
    """A matrix of int8 codes in panels, and a scale for each column: codes are widened as they are loaded."""

    panels: Array  # of `ops.packed.pack_codes`
    scales: Array  # (out,)
    _factors: dict[DType, Array] = field(default_factory=dict, init=False)

    kind: ClassVar[str] = "int8-weight-only"

    @property
    def dtype(self) -> DType:
        """What the weights are kept as."""
        return INT8

    def arrays(self) -> dict[str, Array]:
        """Return what it consists of."""
        return {"panels": self.panels, "scales": self.scales}

    def options(self) -> Form:
        """Return what the arrays need to be understood."""
        return {"width": panel_width(FLOAT32), "scale_dtype": str(self.scales.dtype)}

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form
    ) -> "WidenedWeight":
        """Make a weight of its arrays, laid out anew if they are of another width."""
        panels = _panels(arrays, INT8, shape, number(options, "width", 1, 4096))
        if panels.shape[1] != shape[0] * panel_width(FLOAT32):
            panels = pack_codes(unpack(panels, shape), FLOAT32)
        return cls(shape, panels, expect(arrays, "scales", float_dtype(options["scale_dtype"]), shape[1:]))

    def unpacked(self) -> Array:
        """Return the (in, out) matrix of codes."""
        return unpack(self.panels, self.shape)

    def values(self) -> Array:
        """Return the (in, out) matrix that the codes stand for."""
        return self.unpacked() * self.scales

    def _columns(self, dtype: DType) -> Array:
        """Return the scales as the kernels of a dtype take them."""
        if dtype not in self._factors:
            self._factors[dtype] = self.scales.astype(dtype)
        return self._factors[dtype]

    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write the layer's result to `out`."""
        panels = self.panels if out.dtype == FLOAT32 else pack_codes(self.unpacked(), out.dtype)
        multiply_packed(x, panels, NO_BIAS[out.dtype], NONE, out, INT8)
        finish_rows(out, self._columns(out.dtype), bias, activation)

    def at_once(self, x: Array, bias: Array | None, activation: int, out: Array) -> bool:
        """Do the same for the plainest of arguments."""
        if x.dtype is not FLOAT32 or not plain_rows(x, bias, out):
            return False
        prepared = prepare_packed(FLOAT32, x.shape, self.shape[1], get_num_threads(), INT8)
        if not run(prepared, x, self.panels, out):
            return False
        offsets = NO_BIAS[FLOAT32] if bias is None else contiguous(bias, FLOAT32)
        finish_rows(out, self._columns(FLOAT32), offsets, activation)
        return True


def _panels(arrays: Mapping[str, Array], dtype: DType, shape: tuple[int, int], width: int) -> Array:
    return expect(arrays, "panels", dtype, (-(-shape[1] // width), shape[0] * width))


def pack_floats(weight: Array, dtype: DType, rounds: bool = False) -> FloatWeight:
    """Lay a (in, out) matrix out in a float dtype."""
    return FloatWeight((weight.shape[0], weight.shape[1]), pack(convert(weight, dtype)), rounds)


def pack_widened(codes: Array, scales: Array) -> WidenedWeight:
    """Lay (in, out) int8 codes out for float kernels; ValueError for scales that no float32 holds."""
    with np.errstate(over="ignore", under="ignore"):
        narrow = scales.astype(FLOAT32)
    if not np.all(np.isfinite(narrow) & (narrow > 0)):
        raise ValueError("scales of weights that are kept alone in int8 must be float32 numbers")
    return WidenedWeight((codes.shape[0], codes.shape[1]), pack_codes(codes, FLOAT32), scales)
