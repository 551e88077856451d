"""A tensor as thin as it can be: one NumPy array under the name `data`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytorch.runtime.arrays import Array, register_tensor, to_numpy


@register_tensor
class Tensor:
    """A NumPy array with the operators of a tensor: `Tensor(data, dtype=None)`.

    An ndarray is wrapped without a copy and without a change of dtype; lists and scalars follow NumPy's
    rules. Operators broadcast as NumPy's do and return a `Tensor`.

    Raises TypeError for data that is not numeric, ValueError for ragged lists.

    >>> Tensor([[1.0, 2.0]]) @ Tensor([[3.0], [4.0]])
    Tensor([[11.]], dtype=float64)
    """

    #: NumPy leaves `array + tensor` to the tensor, so that the result is a tensor on both sides.
    __array_priority__ = 1000
    __slots__ = ("data",)
    data: Array

    def __init__(self, data: Any, dtype: Any = None) -> None:
        if dtype is not None and not hasattr(data, "__array__"):
            array = np.asarray(data, dtype)  # a list: NumPy checks that its numbers fit
        else:
            array = to_numpy("data", data)
            array = array if dtype is None else array.astype(dtype, copy=False)
        if array.dtype.kind in "OSUMm" or array.dtype.names is not None:
            raise TypeError(f"a Tensor holds numbers; the data has dtype {array.dtype}")
        self.data = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each dimension."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype of the elements."""
        return self.data.dtype

    @property
    def T(self) -> "Tensor":  # noqa: N802 - NumPy's name
        """The transpose, a view."""
        return Tensor(self.data.T)

    def numpy(self) -> Array:
        """Return the wrapped array itself."""
        return self.data

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.data.item()

    def reshape(self, *shape: Any) -> "Tensor":
        """Return the same elements in another shape, given as numbers or as one tuple."""
        return Tensor(self.data.reshape(*shape))

    def __getitem__(self, index: Any) -> "Tensor":
        """Index as NumPy does; one element is a 0-d tensor."""
        return Tensor(np.asarray(self.data[_plain(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        """Assign as NumPy does."""
        self.data[_plain(index)] = _plain(value)

    def __len__(self) -> int:
        """Size of the first dimension."""
        return len(self.data)

    def __iter__(self) -> Iterator["Tensor"]:
        """Iterate over the first dimension."""
        if self.ndim == 0:
            raise TypeError("cannot iterate over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __float__(self) -> float:
        """Convert a tensor of one element."""
        return float(self.data.item())

    def __int__(self) -> int:
        """Convert a tensor of one element."""
        return int(self.data.item())

    def __bool__(self) -> bool:
        """Convert a tensor of one element."""
        return bool(self.data)

    def __add__(self, other: Any) -> "Tensor":
        """Elementwise sum."""
        return Tensor(np.asarray(self.data + _plain(other)))

    def __radd__(self, other: Any) -> "Tensor":
        """Elementwise sum."""
        return Tensor(np.asarray(_plain(other) + self.data))

    def __sub__(self, other: Any) -> "Tensor":
        """Elementwise difference."""
        return Tensor(np.asarray(self.data - _plain(other)))

    def __rsub__(self, other: Any) -> "Tensor":
        """Elementwise difference."""
        return Tensor(np.asarray(_plain(other) - self.data))

    def __mul__(self, other: Any) -> "Tensor":
        """Elementwise product."""
        return Tensor(np.asarray(self.data * _plain(other)))

    def __rmul__(self, other: Any) -> "Tensor":
        """Elementwise product."""
        return Tensor(np.asarray(_plain(other) * self.data))

    def __truediv__(self, other: Any) -> "Tensor":
        """Elementwise quotient."""
        return Tensor(np.asarray(self.data / _plain(other)))

    def __rtruediv__(self, other: Any) -> "Tensor":
        """Elementwise quotient."""
        return Tensor(np.asarray(_plain(other) / self.data))

    def __matmul__(self, other: Any) -> "Tensor":
        """Matrix product, NumPy's."""
        return Tensor(np.asarray(self.data @ _plain(other)))

    def __rmatmul__(self, other: Any) -> "Tensor":
        """Matrix product, NumPy's."""
        return Tensor(np.asarray(_plain(other) @ self.data))

    def __eq__(self, other: Any) -> "Tensor":  # type: ignore[override]  # elementwise, as NumPy and PyTorch
        """Elementwise comparison."""
        return Tensor(np.asarray(self.data == _plain(other)))

    def __ne__(self, other: Any) -> "Tensor":  # type: ignore[override]
        """Elementwise comparison."""
        return Tensor(np.asarray(self.data != _plain(other)))

    def __lt__(self, other: Any) -> "Tensor":
        """Elementwise comparison."""
        return Tensor(np.asarray(self.data < _plain(other)))

    def __le__(self, other: Any) -> "Tensor":
        """Elementwise comparison."""
        return Tensor(np.asarray(self.data <= _plain(other)))

    def __gt__(self, other: Any) -> "Tensor":
        """Elementwise comparison."""
        return Tensor(np.asarray(self.data > _plain(other)))

    def __ge__(self, other: Any) -> "Tensor":
        """Elementwise comparison."""
        return Tensor(np.asarray(self.data >= _plain(other)))

    #: By identity, as in PyTorch.
    __hash__ = object.__hash__

    def __neg__(self) -> "Tensor":
        """Elementwise negation."""
        return Tensor(np.asarray(-self.data))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Give NumPy the array itself, or a converted copy."""
        if dtype is None or np.dtype(dtype) == self.data.dtype:
            return self.data.copy() if copy else self.data
        if copy is False:
            raise ValueError(f"a Tensor of dtype {self.data.dtype} becomes {np.dtype(dtype)} only by a copy")
        return self.data.astype(dtype)

    def __dlpack__(self, **options: Any) -> Any:
        """Share the array through DLPack."""
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Say where the array lies: on the CPU."""
        return self.data.__dlpack_device__()

    def __repr__(self) -> str:
        """Show elements and dtype."""
        body = np.array2string(self.data, separator=", ", prefix="Tensor(")
        return f"Tensor({body}, dtype={self.data.dtype})"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(part) for part in value)
    return value.data if isinstance(value, Tensor) else value
