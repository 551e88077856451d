"""Arrays for a kernel's source to run on in plain Python: they tell what is loaded and stored.

An `Array` sees each element that is loaded and stored, and its memory (source_memory.py) keeps which bytes
those were. What is loaded is a number that tells (source_numbers.py). Operations of whole arrays are run and
counted by numpy_counter.py.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from tinytorch.measure.counting.count import DType
from tinytorch.measure.counting.memory import block_of
from tinytorch.measure.counting.numpy_counter import count_numpy
from tinytorch.measure.counting.source_dtypes import fit
from tinytorch.measure.counting.source_memory import Memory
from tinytorch.measure.counting.source_numbers import (
    Scalar,
    cast,
    depth_of,
    enter_number,
    is_number,
    number,
    operate,
    scalar,
    use,
)
from tinytorch.measure.counting.source_trace import Trace

#: What a source may ask of an array beside its elements.
_KNOWN = ("shape", "size", "ndim", "dtype", "strides", "itemsize", "nbytes")
_REDUCTIONS = ("sum", "prod", "mean", "min", "max", "any", "all", "argmin", "argmax", "var", "std", "dot")
_OTHERS = ("copy", "astype", "reshape", "ravel", "flatten", "transpose", "fill", "sort", "cumsum", "conj")
_METHODS = frozenset((*_REDUCTIONS, *_OTHERS))
_EMPTY = (np.empty, np.empty_like)  # memory that is only reserved
#: They read some elements of an array, and which these are is not seen.
_GATHERS = (np.take, np.take_along_axis, np.compress, np.extract, np.choose)


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in place of one of NumPy's, `plain`; a view's `depth` is that of its index."""

    def __init__(self, trace: Trace, plain: np.ndarray, memory: Memory, depth: int = 0) -> None:
        self.trace, self.plain, self.memory, self.depth = trace, plain, memory, depth
        self._block = block_of(plain)
        self._offset = self._block.address - memory.low
        self._axes = tuple(zip(plain.shape, plain.strides, strict=True))

    def __getattr__(self, name: str) -> Any:
        """Offer what a kernel may ask; anything else cannot be followed."""
        if name in _KNOWN:
            return getattr(self.plain, name)
        if name == "T":
            return Array(self.trace, self.plain.T, self.memory, self.depth)
        if name in _METHODS:
            return functools.partial(run_numpy, self.trace, _named(name), self)
        return self.trace.refuse(f"an array's {name}")

    def __len__(self) -> int:
        """Extent of the first axis."""
        return len(self.plain)

    def __iter__(self) -> Iterator[Any]:
        """Return elements or rows."""
        return (self[i] for i in range(len(self.plain)))

    def __getitem__(self, key: Any) -> Any:
        """Load an element, or return a view."""
        parts, depth = self._parts(key)
        if not self._is_element(parts):
            return Array(self.trace, self.plain[parts], self.memory, depth)
        self.trace.step()
        dtype, value = self.plain.dtype, self.plain.item(parts)
        self.trace.load(dtype, depth + 1, 1, self.memory.load(self._place(parts), dtype.itemsize))
        return Scalar(self.trace, value, dtype, depth + 1)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Store an element, or several."""
        parts, depth = self._parts(key)
        trace, dtype = self.trace, self.plain.dtype
        use(value)
        trace.step()
        if not self._is_element(parts):
            target = Array(trace, self.plain[parts], self.memory, depth)
            if isinstance(value, Array):
                if value._block == target._block:
                    return  # the end of `a[key] += b`: nothing is moved
                value.load_all()
            target.plain[...] = _plain(value)
            target.store_all()
            return
        if not is_number(value):
            trace.refuse(f"an element that is a {type(value).__name__}")
        self.plain[parts] = fit(number(value), dtype)
        trace.store(dtype, 1, self.memory.store(self._place(parts), dtype.itemsize))

    def load_all(self) -> None:
        """Note that all elements are read."""
        read = self.memory.load_all(self._block)
        self.trace.load(self.plain.dtype, self.depth + 1, self.plain.size, read)

    def store_all(self) -> None:
        """Note that all elements are written."""
        self.trace.store(self.plain.dtype, self.plain.size, self.memory.store_all(self._block))

    def _parts(self, key: Any) -> tuple[tuple[Any, ...], int]:
        """Return an index for the plain array, and how deep it lies."""
        if type(key) is int:
            return (key,), self.depth
        depth, parts = self.depth, []
        for part in key if type(key) is tuple else (key,):
            if type(part) is Scalar:
                if part.dtype.kind not in "iu":
                    self.trace.refuse(f"an index that is a {part.dtype}")
                depth = max(depth, part.depth)
                parts.append(part.value)
            elif type(part) is int or part is None or part is Ellipsis:
                parts.append(part)
            elif isinstance(part, slice):
                ends = (part.start, part.stop, part.step)
                depth = max(depth, depth_of(ends))
                parts.append(slice(*map(number, ends)))
            else:
                self.trace.refuse(f"an index that is a {type(part).__name__}")
        return tuple(parts), depth

    def _is_element(self, parts: tuple[Any, ...]) -> bool:
        return len(parts) == len(self._axes) and all(type(part) is int for part in parts)

    def _place(self, parts: tuple[int, ...]) -> int:
        offset = self._offset
        for i, (extent, stride) in zip(parts, self._axes, strict=True):
            offset += (i + extent if i < 0 else i) * stride
        return offset

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Run and count an operation on whole arrays."""
        out = kwargs.get("out")
        if out is not None and len(out) == 1:
            kwargs["out"] = out[0]
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return run_numpy(self.trace, function, *inputs, **kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to become an array that does not tell."""
        self.trace.refuse("an array is converted by compiled code")


def _named(name: str) -> Callable[..., Any]:
    """Return an array's method as a function, which is asked of the array that it is given."""
    return lambda array, *args, **kwargs: getattr(array, name)(*args, **kwargs)


class Cast:
    """A class of numbers, such as `np.float32` or `float`: converts, or says a dtype."""

    def __init__(self, trace: Trace, dtype: Any) -> None:
        self.dtype: DType = np.dtype(dtype)
        self._trace = trace

    def __call__(self, value: Any = 0, imaginary: Any = None) -> Any:
        """Convert a number or an array."""
        if imaginary is not None:
            use((value, imaginary))
            both = complex(number(value), number(imaginary))
            return scalar(self._trace, both, self.dtype, depth_of((value, imaginary)))
        if isinstance(value, Array):
            return value.astype(self.dtype)
        return cast(self._trace, value, self.dtype)


def run_numpy(trace: Trace, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run one of NumPy's functions; what it reads and writes are whole arrays."""
    out = _arrays_in(kwargs.get("out"))
    arrays = _arrays_in([args, [value for name, value in kwargs.items() if name != "out"]])
    if isinstance(function, np.ufunc) and not arrays and not kwargs:
        return operate(trace, function.__name__, function, args)
    if function in _GATHERS:
        trace.refuse(function.__name__)
    trace.step()
    use((args, tuple(kwargs.values())))
    count, result = count_numpy(function, _plain(args), _plain(kwargs))
    for entry in count.details if count is not None else ():
        if entry.operations:
            trace.add(entry.name, entry.dtype, entry.operations)
    for name in count.uncounted if count is not None else ():
        trace.leave_out(name)
    made = _enter_result(trace, result, arrays, out)
    fresh = [a for a in _arrays_in(made) if not any(a.memory is b.memory for b in arrays)]
    if function in _EMPTY:
        return made
    if count.read if count is not None else fresh:
        for array in arrays:
            array.load_all()
    for array in fresh or (arrays[:1] if result is None and count is not None and count.written else []):
        array.store_all()
    for array in out:
        array.store_all()
    return made


def _enter_result(trace: Trace, result: Any, arrays: list[Array], out: list[Array]) -> Any:
    """Return what NumPy made of arrays such that it tells."""
    if isinstance(result, np.ndarray):
        return _enter_array(trace, result, [*out, *arrays])
    if isinstance(result, tuple | list):
        return type(result)(_enter_result(trace, value, arrays, out) for value in result)
    if isinstance(result, np.generic) and result.dtype.kind in "biufc":
        depth = max((array.depth + 1 for array in arrays), default=0)
        return scalar(trace, result.item(), result.dtype, depth)
    if isinstance(result, int | float | complex):
        return enter_number(trace, result)
    if result is not None and not isinstance(result, np.dtype):
        trace.refuse(f"a {type(result).__name__} made by NumPy")
    return result


def _enter_array(trace: Trace, result: np.ndarray, given: list[Array]) -> Array:
    """Return one of the given arrays, a view of one, or an array of its own memory."""
    for array in given:
        if result is array.plain:
            return array
        if array.memory.holds(block_of(result)):
            return Array(trace, result, array.memory, array.depth)
    check_dtype(trace, result)
    return Array(trace, result, Memory(trace, *block_of(result).bounds))


def check_dtype(trace: Trace, plain: np.ndarray) -> None:
    """Refuse an array of anything but numbers."""
    if plain.dtype.kind not in "biufc":
        trace.refuse(f"an array of {plain.dtype}")


def _plain(value: Any) -> Any:
    """Return what NumPy is to be called with."""
    if isinstance(value, Scalar):
        return value.dtype.type(value.value)
    if isinstance(value, Array):
        return value.plain
    if isinstance(value, Cast):
        return value.dtype
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def _arrays_in(value: Any) -> list[Array]:
    found, waiting = list[Array](), [value]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, Array):
            found.append(value)
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    return found
