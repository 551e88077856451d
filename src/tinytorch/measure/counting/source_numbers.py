"""Numbers for a kernel's source to run on in plain Python: they tell what is computed with them.

What is loaded from an array is a `Scalar`, and so is what is computed from one; it knows how many loads, each
at the place that the one before gave, led to it.

A floating-point operation counts where it happens, be it of numbers loaded, given or written in the source.
One on integers counts if one of them was loaded, and once its result is stored, compared, returned or made a
float: what integers do as an index alone is no operation.
"""

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from tinytorch.measure.counting.count import DType
from tinytorch.measure.counting.source_dtypes import (
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    common_dtype,
    fit,
    real_dtype,
)
from tinytorch.measure.counting.source_trace import Trace

#: Numbers that do not tell.
_PLAIN = int | float | complex | np.generic


class Scalar:
    """A number that was loaded, computed or given."""

    __slots__ = ("depth", "dtype", "parents", "pending", "trace", "value")

    def __init__(self, trace: Trace, value: Any, dtype: DType, depth: int) -> None:
        self.trace, self.value, self.dtype, self.depth = trace, value, dtype, depth
        self.pending: str | None = None  # an integer operation that made this and does not count yet
        self.parents: tuple[Scalar, ...] = ()  # integers that it was made of

    def __bool__(self) -> bool:
        """Decide something by the number."""
        use(self)
        return bool(self.value)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Compute with one of NumPy's own numbers; an array is asked next, and does what is to be done."""
        if method != "__call__" or kwargs or not all(is_number(value) for value in inputs):
            return NotImplemented
        return operate(self.trace, ufunc.__name__, ufunc, inputs)

    def __index__(self) -> int:
        """Be an index of something that is no array, or a bound of a range."""
        return operator.index(self.value)

    def __hash__(self) -> int:
        """Hash as the number does."""
        return hash(self.value)

    def _escape(self) -> NoReturn:
        self.trace.refuse("a number is converted by compiled code")

    __float__ = __int__ = __complex__ = _escape

    def __pos__(self) -> "Scalar":
        """Return the same number."""
        return self

    def __round__(self, digits: int | None = None) -> Any:
        """Round as one operation."""
        if digits is None:
            return operate(self.trace, "rint", round, (self,))
        return operate(self.trace, "rint", lambda value: round(value, digits), (self,))

    def __divmod__(self, other: Any) -> Any:
        """Return quotient and remainder, two operations."""
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        """Return quotient and remainder, two operations."""
        return other // self, other % self

    @property
    def real(self) -> "Scalar":
        """The real part."""
        return Scalar(self.trace, self.value.real, real_dtype(self.dtype), self.depth)

    @property
    def imag(self) -> "Scalar":
        """The imaginary part."""
        return Scalar(self.trace, self.value.imag, real_dtype(self.dtype), self.depth)

    def conjugate(self) -> Any:
        """Return the conjugate."""
        return operate(self.trace, "conjugate", lambda value: value.conjugate(), (self,))

    def item(self) -> "Scalar":
        """Return the same number."""
        return self

    def __repr__(self) -> str:
        """Show the number."""
        return repr(self.value)

    def __format__(self, spec: str) -> str:
        """Show the number."""
        return format(self.value, spec)


def _power(a: Any, b: Any) -> Any:
    # Only the last 64 bits of a whole power are kept; all of them may be more than there is memory.
    return pow(a, b, 1 << 64) if isinstance(a, int) and isinstance(b, int) and b >= 0 else a**b


def _left_shift(a: Any, b: Any) -> Any:
    return a << b if b < 64 else 0


def _invert(a: Any) -> Any:
    return not a if isinstance(a, bool) else ~a


#: Python's methods, NumPy's names for them, and what computes them.
_BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    **{"add": ("add", operator.add), "sub": ("subtract", operator.sub), "mul": ("multiply", operator.mul)},
    **{"truediv": ("divide", operator.truediv), "floordiv": ("floor_divide", operator.floordiv)},
    **{"mod": ("remainder", operator.mod), "pow": ("power", _power)},
    **{"lshift": ("left_shift", _left_shift), "rshift": ("right_shift", operator.rshift)},
    **{"and": ("bitwise_and", operator.and_), "or": ("bitwise_or", operator.or_)},
    "xor": ("bitwise_xor", operator.xor),
}
_COMPARISONS = {
    **{"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"},
    **{"gt": "greater", "ge": "greater_equal"},
}
_UNARY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **{"neg": ("negative", operator.neg), "abs": ("absolute", abs), "invert": ("invert", _invert)},
}
#: Operations on two floats for which Python raises nothing unless the second is 0.
_SIMPLE = frozenset(("add", "subtract", "multiply", "divide"))
#: Operations that may be the arithmetic of an index.
_LATER = frozenset(name for name, _ in (*_BINARY.values(), *_UNARY.values())) | {"minimum", "maximum"}


def _method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Scalar, other: Any) -> Any:
        if type(other) is Scalar:
            # Nearly all operations of nearly all kernels: two floats of the same dtype make a third.
            dtype, divisor = self.dtype, other.value
            if dtype is other.dtype and dtype.kind == "f" and divisor and name in _SIMPLE:
                trace = self.trace
                trace.step()
                trace.add(name, dtype, 1)
                depth = self.depth if self.depth > other.depth else other.depth
                return Scalar(trace, function(self.value, divisor), dtype, depth)
        elif not isinstance(other, _PLAIN):
            return NotImplemented
        return operate(self.trace, name, function, (self, other))

    return method


def _reflected(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Scalar, other: Any) -> Any:
        if not isinstance(other, _PLAIN):
            return NotImplemented
        return operate(self.trace, name, function, (other, self))

    return method


def _unary(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: operate(self.trace, name, function, (self,))


for _own, (_name, _function) in _BINARY.items():
    setattr(Scalar, f"__{_own}__", _method(_name, _function))
    setattr(Scalar, f"__r{_own}__", _reflected(_name, _function))
for _own, _name in _COMPARISONS.items():
    setattr(Scalar, f"__{_own}__", _method(_name, getattr(operator, _own)))
for _own, (_name, _negate) in _UNARY.items():
    setattr(Scalar, f"__{_own}__", _unary(_name, _negate))


def use(value: Any) -> None:
    """Count the integer operations that a value came from, each once."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Scalar):
            if value.pending is not None:
                value.trace.add(value.pending, value.dtype, 1)
                value.pending = None
            waiting.extend(value.parents)
            value.parents = ()
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def operate(trace: Trace, name: str, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
    """Compute with numbers and count it as one operation; `name` is what NumPy calls it."""
    trace.step()
    values = tuple(map(number, operands))
    dtype = common_dtype(*map(_dtype, operands))
    try:
        value = function(*values)
    except (ArithmeticError, ValueError):
        value = _as_compiled(trace, name, values, dtype)
    if isinstance(value, tuple):
        use(operands)
        trace.add(name, dtype, 1)
        return tuple(scalar(trace, v, _dtype(v)) for v in value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, complex) and dtype.kind != "c":
        value = math.nan  # the power of a negative number, which is complex in Python alone
    if dtype.kind in "biu":
        dtype = FLOAT if isinstance(value, float) else INT if dtype == BOOL else dtype
    made = BOOL if isinstance(value, bool) else dtype
    if isinstance(value, int) and dtype.kind == "f":  # floor, ceil
        made = made if made == BOOL else INT
    elif isinstance(value, float) and dtype.kind == "c":  # abs
        made = real_dtype(dtype)
    result = scalar(trace, value, made, depth_of(operands))
    if name in _LATER and dtype.kind in "biu":
        result.pending = name
        result.parents = tuple(o for o in operands if type(o) is Scalar)
    else:
        use(operands)
        trace.add(name, dtype, 1)
    return result


def _as_compiled(trace: Trace, name: str, values: tuple[Any, ...], dtype: DType) -> Any:
    """Return the infinity or NaN that compiled code gives where Python raises."""
    ufunc = getattr(np, name, None)
    whole = dtype.kind in "biu"
    if not isinstance(ufunc, np.ufunc) or (whole and name in _LATER and name != "divide"):
        trace.refuse(f"{name} of {', '.join(map(str, values))}")
    with np.errstate(all="ignore"):
        return ufunc(*map((FLOAT if whole else dtype).type, values)).item()


def scalar(trace: Trace, value: Any, dtype: DType, depth: int = 0) -> Scalar:
    """Return a number that tells."""
    return Scalar(trace, fit(value, dtype), dtype, depth)


def enter_number(trace: Trace, value: float | complex | np.generic) -> Any:
    """Return a number given to the source: a float tells, an integer is an index."""
    dtype = _dtype(value)
    return number(value) if dtype.kind in "bi" else scalar(trace, number(value), dtype)


def cast(trace: Trace, value: Any, dtype: DType) -> Any:
    """Convert a number, which is no operation; a signed integer that was not loaded stays plain."""
    if isinstance(value, Scalar):
        made = scalar(trace, value.value, dtype, value.depth)
        if dtype.kind in "biu" and value.dtype.kind in "biu":
            made.parents = (value,)
        else:
            use(value)
        return made
    return fit(number(value), dtype) if dtype.kind in "bi" else scalar(trace, number(value), dtype)


def is_number(value: Any) -> bool:
    """Whether a value is a number, one that tells or one of Python's or NumPy's."""
    return isinstance(value, Scalar | _PLAIN)


def number(value: Any) -> Any:
    """Return a number as Python has it."""
    if type(value) is Scalar:
        return value.value
    return value.item() if isinstance(value, np.generic) else value


def depth_of(values: Iterable[Any]) -> int:
    """Return how many loads in a row led to the deepest of some numbers."""
    depth = 0
    for value in values:
        if type(value) is Scalar and value.depth > depth:
            depth = value.depth
    return depth


def _dtype(value: Any) -> DType:
    if type(value) is Scalar or isinstance(value, np.generic):
        return value.dtype
    if isinstance(value, int):
        return BOOL if isinstance(value, bool) else INT
    return COMPLEX if isinstance(value, complex) else FLOAT
