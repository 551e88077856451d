"""What all packed weights have in common: how they are asked, kept, pickled and brought back.

A weight is its arrays, laid out as the kernels of one instruction set read them, and its form: a few names
and numbers that say what the arrays mean. From both any machine makes its own weight again.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from tinytorch.runtime.arrays import (
    FLOAT32,
    FLOAT64,
    FLOATS,
    HALVES,
    Array,
    DType,
    contiguous,
    on_line,
    promote,
)

Form = dict[str, Any]

#: Where the kinds of weights are. What reads a form imports the one that it names, and nothing else.
KINDS = {
    "float": "floats.FloatWeight",
    "int8": "integers.IntegerWeight",
    "int8-weight-only": "floats.WidenedWeight",
    "int4": "nibbles.NibbleWeight",
    "sparse": "sparse.SparseWeight",
    "blocks": "blocks.BlockWeight",
    "low-rank": "factors.FactoredWeight",
}
#: A bias for a layer without one.
NO_BIAS = {dtype: np.empty(0, dtype) for dtype in (FLOAT32, FLOAT64)}
_LARGEST = 2**40  # a side of a matrix that no file means


@dataclass(frozen=True, eq=False)
class PackedWeight(ABC):
    """A weight laid out for `linear`: immutable, picklable, made by `pack_weight` and by `compress`."""

    shape: tuple[int, int]  # (in, out), as it was given

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in self.arrays().values():
            array.setflags(write=False)

    @property
    @abstractmethod
    def dtype(self) -> DType:
        """What the weights are kept as."""

    @property
    def writes_rows(self) -> bool:
        """Whether `multiply` writes rows that lie apart."""
        return True

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Return what it consists of, by name."""

    @abstractmethod
    def options(self) -> Form:
        """Return what else its arrays need to be understood: numbers and names."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, shape: tuple[int, int], arrays: Mapping[str, Array], options: Form) -> Self:
        """Make a weight of what `arrays` and `options` returned, on any machine.

        Raises ValueError or KeyError for arrays that are not what the options say.
        """

    @abstractmethod
    def values(self) -> Array:
        """Return the (in, out) matrix of floats that it stands for."""

    @abstractmethod
    def multiply(self, x: Array, bias: Array, activation: int, out: Array) -> None:
        """Write activation(x @ weight + bias) to `out`: x (M, in) contiguous, `bias` (out,) or empty.

        All are of one dtype, float32 or float64, but for what `rows` made of x; `out` is not empty.
        """

    def at_once(self, x: Array, bias: Array | None, activation: int, out: Array) -> bool:
        """Do the same for the plainest of arguments; False, with nothing done, if they want a closer look."""
        return False

    def result_dtype(self, x: DType, bias: DType | None) -> DType:
        """Return the dtype of a layer's result: that of its input, float32 for integers."""
        dtype = promote(x=x, **({} if bias is None else {"bias": bias}))
        return dtype if dtype in FLOATS else FLOAT32

    def rows(self, x: Array, computed: DType) -> Array:
        """Return x (M, in) as `multiply` takes it."""
        return contiguous(x, computed)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds that a row of the input takes."""
        return self.shape[0] * self.shape[1]

    def computed(self, floats: DType) -> DType:
        """Return the dtype that is multiplied in where a layer's result is computed in `floats`."""
        return floats

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, scales and indices included."""
        return sum(int(array.nbytes) for array in self.arrays().values())

    @property
    def form(self) -> Form:
        """What is needed beside the arrays to bring it back: names and numbers, fit for JSON."""
        return {"kind": self.kind, "shape": list(self.shape), **self.options()}

    def __reduce__(self) -> Any:
        """Pickle as form and arrays."""
        return restore, (self.form, self.arrays())

    def __repr__(self) -> str:
        """Show shape, dtype and size."""
        name = "" if self.kind in ("float", str(self.dtype)) else f", kind={self.kind!r}"
        return f"PackedWeight(shape={self.shape}, dtype={self.dtype}{name}, nbytes={self.nbytes})"


def restore(form: Mapping[str, Any], arrays: Mapping[str, Array]) -> PackedWeight:
    """Make a weight of its form and arrays, laid out for this machine.

    Raises ValueError saying what does not fit: forms and arrays may come from a file that anyone wrote.
    """
    try:
        kind, shape = form["kind"], form["shape"]
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"there is no kind of weight {kind!r:.40}; there are {', '.join(KINDS)}")
        if len(shape) != 2 or not all(type(n) is int and 0 <= n < _LARGEST for n in shape):
            raise ValueError(f"shape {shape!r:.40} is not that of a weight")
        module, _, name = KINDS[kind].partition(".")
        found = getattr(importlib.import_module(f"tinytorch.ops.weights.{module}"), name)
        weight: PackedWeight = found.from_arrays((shape[0], shape[1]), arrays, dict(form))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no packed weight: {type(error).__name__} {error}") from None
    return weight


def expect(arrays: Mapping[str, Array], name: str, dtype: DType, shape: tuple[int, ...]) -> Array:
    """Return an array of a weight brought back, on a cache line; ValueError unless it is as it must be."""
    array = arrays[name]
    bits = array.dtype.kind in "iu" and (dtype.kind == "u" or dtype in HALVES)
    if bits and array.dtype.itemsize == dtype.itemsize:
        array = array.view(dtype)  # files keep half types, and torch unsigned integers, as their bits
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{name} of a weight is {array.dtype} {array.shape} where {dtype} {shape} belongs")
    return on_line(array)


def float_dtype(name: Any) -> DType:
    """Return the float dtype of a name in a form; ValueError for any other name."""
    for dtype in FLOATS:
        if str(dtype) == name:
            return dtype
    raise ValueError(f"a weight cannot be of dtype {name!r:.40}")


def number(options: Form, name: str, least: int = 1, most: int = 2**31) -> int:
    """Return an integer of a form; ValueError unless it is in range."""
    value = options[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} of a weight is {value!r:.40}; it must be an integer from {least} to {most}")
    return value


def plain_rows(x: Array, bias: Array | None, out: Array) -> bool:
    """Say whether x and a result are contiguous, aligned and apart from all else: any kernel takes them."""
    return (
        x.flags.c_contiguous
        and out.flags.c_contiguous
        and x.flags.aligned
        and out.flags.aligned
        and not np.may_share_memory(x, out)
        and (bias is None or not np.may_share_memory(bias, out))
    )
