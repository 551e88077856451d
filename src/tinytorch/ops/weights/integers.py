"""int8 weights that meet rows brought to int8, multiplied in integers: `ops.integer` as a packed weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinytorch.ops.integer import DONE, NOT_FINITE, padded, prepare, run, scaled_product
from tinytorch.ops.packed import LONGEST_PART, PackedIntegers, Part, layout, pack_integers
from tinytorch.ops.quantize import (
    check_scale,
    check_zero_point,
    not_finite,
    quantize_calibrated,
    quantized,
)
from tinytorch.ops.weights.base import NO_BIAS, Form, PackedWeight, expect, float_dtype, number
from tinytorch.runtime.arrays import INT8, INT32, Array, DType
from tinytorch.runtime.building import lazy
from tinytorch.runtime.threads import get_num_threads

#: How rows of the input are brought to int8.
SYMMETRIC, ASYMMETRIC, GIVEN = "symmetric", "asymmetric", "given"


@dataclass(frozen=True)
class Activations:
    """How a layer brings its input to int8: by each row's own range, or by a scale known before."""

    way: str = SYMMETRIC
    scale: float = 0.0
    zero_point: int = 0

    @classmethod
    def of(cls, value: Any) -> "Activations":
        """Read what `pack_weight` takes: a name, or (scale, zero_point); ValueError for anything else."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and value in (SYMMETRIC, ASYMMETRIC):
            return cls(value)
        if isinstance(value, tuple | list) and len(value) == 2:
            scale = check_scale("the scale of activations", value[0])
            with np.errstate(over="ignore", under="ignore"):
                fits = scale.ndim == 0 and 0 < np.float32(scale) < np.inf
            if fits:
                return cls(GIVEN, float(scale), check_zero_point(value[1]))
        raise ValueError(
            "activations must be 'symmetric', 'asymmetric' or a pair (scale, zero_point) with a float32 scale"
            f", not {value!r:.80}"
        )

    @property
    def asks(self) -> int:
        """The zero point as kernels take it: with a scale it is theirs, else not 0 to ask for one."""
        return self.zero_point if self.way == GIVEN else int(self.way == ASYMMETRIC)


@dataclass(frozen=True, eq=False, repr=False)
class IntegerWeight(PackedWeight):
    """A matrix of int8 codes, a scale for each column, and how rows of the input are brought to int8."""

    data: PackedIntegers
    scales: Array  # (out,)
    activations: Activations = Activations()

    kind: ClassVar[str] = "int8"

    @property
    def dtype(self) -> DType:
        """What the weights are kept as."""
        return INT8

    def computed(self, floats: DType) -> DType:
        """Return the dtype that is multiplied in: int8, whatever the input is."""
        return INT8

    @property
    def writes_rows(self) -> bool:
        """Whether `multiply` writes rows that lie apart."""
        return False

    @lazy
    def factors(self) -> Array:
        """The scales as compiled code takes them."""
        return padded(self.scales)

    def arrays(self) -> dict[str, Array]:
        """Return what it consists of."""
        parts = enumerate(self.data.parts)
        named = {f"{name}{n or ''}": getattr(part, name) for n, part in parts for name in ("panels", "sums")}
        return {**named, "scales": self.scales}

    def options(self) -> Form:
        """Return what the arrays need to be understood."""
        width, group = layout()
        given = self.activations
        return {
            **{"width": width, "group": group, "scale_dtype": str(self.scales.dtype)},
            **{"activations": given.way, "scale": given.scale, "zero_point": given.zero_point},
        }

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form
    ) -> "IntegerWeight":
        """Make a weight of its arrays, laid out anew if they are of another instruction set."""
        width, group = number(options, "width", 1, 4096), number(options, "group", 1, 64)
        (inner, columns), parts = shape, []
        count = -(-columns // width)
        for n, k in enumerate(range(0, max(inner, 1), LONGEST_PART)):
            depth = -(-min(LONGEST_PART, inner - k) // group) * group
            panels = expect(arrays, f"panels{n or ''}", INT8, (count, depth * width))
            parts.append(Part(columns, panels, expect(arrays, f"sums{n or ''}", INT32, (count * width,))))
        data = PackedIntegers(shape, tuple(parts))
        if (width, group) != layout():
            data = pack_integers(data.unpacked(width, group))
        way = options["activations"]
        activations = Activations.of(way if way != GIVEN else (options["scale"], options["zero_point"]))
        scales = expect(arrays, "scales", float_dtype(options["scale_dtype"]), (columns,))
        return cls(shape, data, scales, activations)

    def unpacked(self) -> Array:
        """Return the (in, out) matrix of codes."""
        return self.data.unpacked(*layout())

    def values(self) -> Array:
        """Return the (in, out) matrix that the codes stand for."""
        return self.unpacked() * self.scales

    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write the layer's result to `out`; ValueError for NaN and infinity in x."""
        if len(self.data.parts) > 1:
            self._multiply_parts(x, bias, activation, out)
        elif (done := self._run(x, bias, activation, out)) == NOT_FINITE:
            raise not_finite("x", x)
        else:
            assert done == DONE

    def at_once(self, x: Array, bias: Array | None, activation: int, out: Array) -> bool:
        """Do the same for the plainest of arguments."""
        if len(self.data.parts) > 1:
            return False
        offsets = NO_BIAS[out.dtype] if bias is None else bias
        return self._run(x, offsets, activation, out) == DONE

    def _run(self, x: Array, bias: Array, activation: int, out: Array) -> int:
        given, threads = self.activations, get_num_threads()
        static = given.way == GIVEN
        prepared = prepare(x.dtype, out.dtype, x.shape, self.shape[1], threads, static)
        scales = np.full(len(x), given.scale) if static else None
        rest = out, bias, activation, scales, None, given.asks
        return run(prepared, x, self.data.parts[0], self.factors, *rest)

    def _multiply_parts(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Bring x to int8 first, where sums are too long for an int32."""
        given = self.activations
        if given.way == GIVEN:
            result = quantized(x, given.scale, None, "x", given.zero_point)
            scales = np.full(len(x), given.scale)
            scaled_product(
                *(result.codes, scales, self.data, self.scales, bias, activation, out), given.zero_point
            )
            return
        codes, scales = quantize_calibrated(x, axis=0, name="x")
        scaled_product(codes, scales.astype(np.float64), self.data, self.scales, bias, activation, out)


def pack_quantized(codes: Array, scales: Array, activations: Any = SYMMETRIC) -> IntegerWeight:
    """Lay (in, out) int8 codes out, with the scale of each column."""
    given = Activations.of(activations)
    if given.way == ASYMMETRIC and len(codes) > LONGEST_PART:
        raise ValueError(
            f"a weight of {len(codes)} rows, more than {LONGEST_PART}, takes activations that are "
            "'symmetric' or have a scale, not 'asymmetric'"
        )
    shape = (codes.shape[0], codes.shape[1])
    return IntegerWeight(shape, pack_integers(codes), scales, given)
