"""4-bit weights in groups, which meet floats: `ops.nibbles` as a packed weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinytorch.ops.epilogue import finish_rows
from tinytorch.ops.nibbles import (
    GROUPS,
    PackedNibbles,
    multiply_nibbles,
    pack_nibbles,
    quantize_groups,
)
from tinytorch.ops.packed import pack, panel_width
from tinytorch.ops.product import multiply_packed
from tinytorch.ops.quantize import not_finite
from tinytorch.ops.weights.base import NO_BIAS, Form, PackedWeight, expect, number, plain_rows
from tinytorch.runtime.arrays import BFLOAT16, FLOAT32, INT4, Array, DType, contiguous, convert
from tinytorch.simd.nibbles import NIBBLES


@dataclass(frozen=True, eq=False, repr=False)
class NibbleWeight(PackedWeight):
    """A matrix of 4-bit codes, and a bfloat16 scale for each group of them."""

    data: PackedNibbles

    kind: ClassVar[str] = "int4"

    @property
    def dtype(self) -> DType:
        """What the weights are kept as."""
        return INT4

    def arrays(self) -> dict[str, Array]:
        """Return what it consists of."""
        return {"panels": self.data.panels, "scales": self.data.scales}

    def options(self) -> Form:
        """Return what the arrays need to be understood."""
        return {"group_size": self.data.group_size, "width": panel_width(FLOAT32)}

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form
    ) -> "NibbleWeight":
        """Make a weight of its arrays, laid out anew if they are of another width."""
        size, width = number(options, "group_size", 1, 4096), number(options, "width", 1, 4096)
        if size not in GROUPS:
            raise ValueError(f"group_size of a weight must be one of {', '.join(map(str, GROUPS))}")
        groups, count = -(-shape[0] // size), -(-shape[1] // width)
        panels = expect(arrays, "panels", np.dtype(np.uint32), (count, groups * size // NIBBLES * width))
        scales = expect(arrays, "scales", BFLOAT16, (count, groups * width))
        data = PackedNibbles(shape, size, panels, scales)
        if width != panel_width(FLOAT32):
            data = pack_nibbles(*data.codes(width), size)
        return cls(shape, data)

    def unpacked(self) -> Array:
        """Return the (in, out) matrix of codes, -8 to 7."""
        return self.data.codes()[0]

    def values(self) -> Array:
        """Return the (in, out) matrix that the codes stand for."""
        return self.data.values()

    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write the layer's result to `out`."""
        if out.dtype == FLOAT32:
            multiply_nibbles(x, self.data, out)
            finish_rows(out, bias[:0], bias, activation)
        else:
            multiply_packed(x, pack(convert(self.values(), out.dtype)), bias, activation, out)

    def at_once(self, x: Array, bias: Array | None, activation: int, out: Array) -> bool:
        """Do the same for the plainest of arguments."""
        if x.dtype is not FLOAT32 or not plain_rows(x, bias, out):
            return False
        self.multiply(x, NO_BIAS[FLOAT32] if bias is None else contiguous(bias, FLOAT32), activation, out)
        return True


def pack_groups(weight: Array, group_size: int) -> NibbleWeight:
    """Bring a (in, out) matrix to 4 bits, a scale for each `group_size` of a column.

    Raises ValueError for a group size that kernels do not take, NaN and infinity.
    """
    if group_size not in GROUPS:
        raise ValueError(f"group_size must be one of {', '.join(map(str, GROUPS))}, not {group_size!r}")
    matrix = convert(weight, FLOAT32)
    if not np.isfinite(matrix).all():
        raise not_finite("weight", matrix, "int4")
    shape = (weight.shape[0], weight.shape[1])
    return NibbleWeight(shape, pack_nibbles(*quantize_groups(matrix, group_size), group_size))
