"""Weights as the product of two thin ones: a layer of low rank is two smaller layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tinytorch.ops.weights.base import Form, PackedWeight, restore
from tinytorch.runtime.arrays import Array, DType
from tinytorch.runtime.scratch import temporary
from tinytorch.simd.activation import NONE

_FACTORS = ("first", "second")


@dataclass(frozen=True, eq=False, repr=False)
class FactoredWeight(PackedWeight):
    """first (in, rank) times second (rank, out), each packed in a way of its own."""

    first: PackedWeight
    second: PackedWeight

    kind: ClassVar[str] = "low-rank"

    @property
    def dtype(self) -> DType:
        """What the weights are kept as."""
        return self.first.dtype

    @property
    def writes_rows(self) -> bool:
        """Whether `multiply` writes rows that lie apart."""
        return self.second.writes_rows

    @property
    def rank(self) -> int:
        """The numbers that a row passes through."""
        return self.first.shape[1]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds that a row of the input takes."""
        return self.first.multiply_adds + self.second.multiply_adds

    def computed(self, floats: DType) -> DType:
        """Return the dtype that is multiplied in where a layer's result is computed in `floats`."""
        return self.first.computed(floats)

    def arrays(self) -> dict[str, Array]:
        """Return what it consists of."""
        both = zip(_FACTORS, (self.first, self.second), strict=True)
        return {f"{name}.{key}": array for name, part in both for key, array in part.arrays().items()}

    def options(self) -> Form:
        """Return what the arrays need to be understood."""
        return {"first": self.first.form, "second": self.second.form}

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form
    ) -> "FactoredWeight":
        """Make a weight of its arrays; ValueError for factors that do not fit."""
        parts = []
        for name in _FACTORS:
            form = options[name]
            if not isinstance(form, dict) or form.get("kind") == cls.kind:
                raise ValueError("a factor of a weight is a weight without factors")
            start = f"{name}."
            own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
            parts.append(restore(form, own))
        return cls.of(parts[0], parts[1], shape)

    @classmethod
    def of(
        cls, first: PackedWeight, second: PackedWeight, shape: tuple[int, int] | None = None
    ) -> "FactoredWeight":
        """Join two weights; ValueError unless they fit, and their product has `shape`."""
        found = first.shape[0], second.shape[1]
        if first.shape[1] != second.shape[0] or shape not in (None, found):
            raise ValueError(
                f"factors {first.shape} and {second.shape} are not those of a weight {shape or found}"
            )
        return cls(found, first, second)

    def values(self) -> Array:
        """Return the (in, out) matrix."""
        product: Array = self.first.values() @ self.second.values()
        return product

    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write the layer's result to `out`."""
        if not self.rank:
            self.second.multiply(x[:, :0], bias, activation, out)
            return
        between = temporary("between", (len(x), self.rank), out.dtype)
        self.first.multiply(self.first.rows(x, out.dtype), bias[:0], NONE, between)
        self.second.multiply(self.second.rows(between, out.dtype), bias, activation, out)
