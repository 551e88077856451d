"""Counts what NumPy operations a call runs, by giving it arrays that tell.

Arrays among the arguments, and those the function closes over, become `Counted`: an ndarray that NumPy asks
before it runs a ufunc (`__array_ufunc__`) or a function (`__array_function__`). Each is run on plain arrays
of the same memory, counted as numpy_ufuncs.py and numpy_rules.py say, and its result counts on. An array
knows its run: runs in several threads do not mix, but for lists and dicts they share, which hold counted
arrays while a call runs. What makes plain arrays of them (`np.asarray`, compiled code) goes unseen.
"""

import functools
import operator
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any, SupportsIndex, cast

import numpy as np

from tinytorch.measure.counting.count import Count, Tally
from tinytorch.measure.counting.memory import block_of
from tinytorch.measure.counting.numpy_moves import unknown
from tinytorch.measure.counting.numpy_rules import METHODS, OUT_AT, function_rules
from tinytorch.measure.counting.numpy_ufuncs import ufunc_work
from tinytorch.measure.counting.numpy_work import Rule, Work, made, touched
from tinytorch.measure.counting.rebinding import makers, put_back, rebind

#: Operators that have a form in place.
_IN_PLACE = "add sub mul truediv floordiv mod pow lshift rshift and or xor matmul"
_BINARY = "add sub mul truediv floordiv mod divmod pow lshift rshift and or xor matmul"
#: Comparisons, and what the other operand is asked instead.
_MIRRORED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}
_MADE = "arrays that the function makes itself ({}) are followed only where they meet its arguments"
_LOST = "a result was not made by NumPy operations on the arguments: what made it may not be counted"


def count_numpy(
    func: Callable[..., Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
) -> tuple[Count | None, Any]:
    """Call `func` once; return what NumPy did in it, and its result, as plain arrays.

    The count is None if nothing was seen: the function converts its arrays, or hands them to compiled code.
    What `func` raises is raised. Counted arrays that the call leaves anywhere but in a tuple, a generator or
    compiled code become plain when it ends; those in a tuple count no more.

    >>> count, product = count_numpy(lambda a, b: a @ b, (np.ones((2, 3)), np.ones((3, 4))))
    >>> count.operations, count.read, count.written
    (48, 144, 64)
    """
    run = _Run()
    try:
        again = rebind(_own_method(func), run.enter)
        result = again(*run.enter(tuple(args)), **run.enter(dict(kwargs or {})))
        del again
        made = run.made(result)
        result = run.leave(result)
    finally:
        run.close()
    if run.tally.empty and not made:
        return None, result
    notes = [_LOST] if made is False else []
    if names := makers(func):
        notes.append(_MADE.format(", ".join(names)))
    return run.tally.count("NumPy operations", "; ".join(notes)), result


def _own_method(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return what asks an array for its method instead of `np.ndarray.dot`, say, which would not be seen."""
    descriptor = isinstance(func, types.MethodDescriptorType | types.WrapperDescriptorType)
    if not descriptor or getattr(func, "__objclass__", None) is not np.ndarray:
        return func

    @functools.wraps(func)
    def method(array: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(array, Counted):
            return getattr(array, func.__name__)(*args, **kwargs)
        return func(array, *args, **kwargs)

    return method


class Counted(np.ndarray):
    """An ndarray that tells its run what is done with it; a 0-d one may stand for a NumPy scalar."""

    _run: "_Run | None" = None
    _plain: Any = None  # the array whose memory this is, if it is not merely a view that NumPy made
    _scalar = False

    def __array_finalize__(self, source: Any) -> None:
        """Views of an array belong to its run."""
        self._run = getattr(source, "_run", None)
        if isinstance(source, Counted):
            self._scalar = source._scalar and not self.shape  # its `real` or `T`
            if self._run is not None:
                self._run.watch(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Run and count a ufunc."""
        run = _run_of((*inputs, *kwargs.get("out", ())))
        return run.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Run and count one of NumPy's functions."""
        if not all(issubclass(kind, np.ndarray) for kind in types):
            return NotImplemented
        rule = function_rules().get(func)
        run = _run_of((args, kwargs))
        if rule is not None:
            return run.apply(func.__name__, func, rule, args, kwargs)
        before = run.tally.calls
        result = super().__array_function__(func, types, args, kwargs)
        if run.tally.calls == before and not run.tracks(result):
            # It made plain arrays of ours, or is written in C: its bytes are all that can be told.
            run.note(func.__name__, unknown(_plain(args), _plain(kwargs), _plain(result)))
        return run.wrap(result)

    def __getitem__(self, key: Any) -> Any:
        """Index; what comes out is read and written if it is not a view."""
        plain, key = _plain(self), _plain(key)
        result = plain[key]
        run = _run_of(self)
        if isinstance(result, np.ndarray) and np.may_share_memory(result, plain):
            run.note("view", Work(dtype=plain.dtype))
        else:
            moved = made(result)
            run.note(
                "getitem", Work(0, min(touched(plain), moved) + touched(_arrays(key)), moved, plain.dtype)
            )
        return run.wrap(result)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign to elements."""
        plain, key, value = _array(self), _plain(key), _plain(value)
        plain[key] = value
        target = plain[key]
        if (
            isinstance(value, np.ndarray)
            and isinstance(target, np.ndarray)
            and block_of(value) == block_of(target)
        ):
            return  # the end of `a[key] += b`: NumPy sees that nothing is to be moved
        written = min(touched(plain), made(target))
        _run_of(self).note("setitem", Work(0, touched([value, _arrays(key)]), written, plain.dtype))

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        """Return the mean, which for float16 NumPy makes in a way that forgets the class."""
        return _run_of(self).wrap(super().mean(*args, **kwargs))

    def item(self, *args: Any) -> Any:
        """Return one element as a number of Python's."""
        _run_of(self).note("item", Work(0, self.itemsize, 0, self.dtype))
        return _array(self).item(*args)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle and deepcopy as the plain array."""
        return _plain(self).__reduce_ex__(protocol)

    def __reduce__(self) -> Any:
        """Pickle as the plain array."""
        return _plain(self).__reduce__()

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Any:
        """Copy the elements."""
        return self.copy()

    def __copy__(self) -> Any:
        """Copy the elements."""
        return self.copy()

    # What a NumPy scalar can do and a 0-d array cannot.

    def __getattr__(self, name: str) -> Any:
        """Offer a scalar's own methods, such as `is_integer`."""
        if self._scalar and not name.startswith("__"):
            return getattr(_plain(self), name)
        raise AttributeError(f"'numpy.ndarray' object has no attribute '{name}'")

    def __hash__(self) -> int:  # type: ignore[override]
        """Hash a scalar by its value; arrays have no hash."""
        return hash(_plain(self))

    def __round__(self, digits: int | None = None) -> Any:
        """Round a scalar as Python does."""
        return round(_plain(self)) if digits is None else round(_plain(self), digits)

    def __trunc__(self) -> Any:
        """Return a scalar's whole part."""
        return _plain(self).__trunc__()

    def __repr__(self) -> str:
        """Show what the plain array or scalar shows."""
        return repr(_plain(self))

    def __str__(self) -> str:
        """Show what the plain array or scalar shows."""
        return str(_plain(self))

    def __format__(self, spec: str) -> str:
        """Show what the plain array or scalar shows."""
        return format(_plain(self), spec)


def _method(name: str, rule: Rule) -> Callable[..., Any]:
    def method(self: Counted, *args: Any, **kwargs: Any) -> Any:
        function = getattr(type(_plain(self)), name)  # a scalar's own method, where it stands for one
        return _run_of(self).apply(name, function, rule, (self, *args), kwargs)

    method.__name__, method.__doc__ = name, f"Do as ndarray's {name} does."
    return method


def _in_place(name: str) -> Callable[..., Any]:
    base = getattr(np.ndarray, f"__i{name}__")
    outside = getattr(operator, f"{name}_" if name in ("and", "or") else name)

    def method(self: Counted, other: Any) -> Any:
        # A scalar is never changed: the name is bound to another.
        return outside(self, other) if self._scalar else base(self, other)

    return method


def _operator(name: str, mirrored: str) -> Callable[..., Any]:
    base, mirror = getattr(np.ndarray, name), getattr(np.ndarray, mirrored)

    def method(self: Counted, other: Any, *modulus: Any) -> Any:
        # Python asks a subclass first, such as `np.matrix`, which is none of Counted.
        foreign = isinstance(other, np.ndarray) and not isinstance(other, Counted)
        if foreign and getattr(type(other), mirrored) is not mirror:
            return NotImplemented
        return base(self, other, *modulus)

    return method


for _name, _rule in METHODS.items():
    setattr(Counted, _name, _method(_name, _rule))
for _name in _IN_PLACE.split():
    setattr(Counted, f"__i{_name}__", _in_place(_name))
for _name in _BINARY.split():
    setattr(Counted, f"__{_name}__", _operator(f"__{_name}__", f"__r{_name}__"))
for _name, _mirrored in _MIRRORED.items():
    setattr(Counted, f"__{_name}__", _operator(f"__{_name}__", f"__{_mirrored}__"))


class _Run:
    """One call under count: its tally, and what was put in place of its arrays.

    Lists and dicts are not copied, since others may have them too: they hold counted arrays during the call.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.open = True
        self._given: dict[int, tuple[Any, Counted]] = {}  # arrays by id, with what stands for them
        self._containers: dict[int, Any] = {}  # lists and dicts that were given, by id
        self._filled: set[int] = set()  # ids of plain arrays that operations wrote to, and of their bases
        self._kept: list[Any] = []
        self._alive: dict[int, weakref.ref[Counted]] = {}

    def enter(self, value: Any) -> Any:
        """Return a value with its arrays counted, also in tuples; in lists and dicts they are exchanged."""
        if not self.open:
            return value
        if type(value) in (np.ndarray, np.memmap):
            if id(value) not in self._given:
                self._given[id(value)] = value, self._count(value)
            return self._given[id(value)][1]
        if type(value) is tuple:
            inner = tuple(map(self.enter, value))
            return inner if any(a is not b for a, b in zip(inner, value, strict=True)) else value
        if type(value) in (list, dict) and id(value) not in self._containers:
            self._containers[id(value)] = value
            _exchange_in(value, self.enter)
        return value

    def leave(self, value: Any, inside: tuple[int, ...] = ()) -> Any:
        """Return a result with plain arrays, those that were given being the same objects."""
        if isinstance(value, Counted):
            return _plain(value) if value._run in (self, None) else value  # a run may be inside another
        objects = (
            isinstance(value, np.ndarray) and value.dtype == object and value.ndim and value.flags.writeable
        )
        if not (objects or isinstance(value, list | dict | tuple)) or id(value) in inside:
            return value
        leave = functools.partial(self.leave, inside=(*inside, id(value)))
        if not isinstance(value, tuple):
            _exchange_in(value, leave)
            return value
        left = tuple(map(leave, value))
        return value if all(a is b for a, b in zip(left, value, strict=True)) else _tuple_like(value, left)

    def close(self) -> None:
        """Count no more, and put plain arrays back wherever the call left counted ones."""
        self.open = False
        for container in self._containers.values():
            self.leave(container)
        for kept in (self._given, self._containers):
            kept.clear()
        left = [array for ref in list(self._alive.values()) if (array := ref()) is not None]
        if left:
            put_back({id(array): (array, _plain(array)) for array in left})

    def watch(self, array: Counted) -> None:
        """Remember an array for as long as it lives."""
        if self.open:
            key, alive = id(array), self._alive
            alive[key] = weakref.ref(array, lambda ref: alive.pop(key, None))

    def made(self, result: Any) -> bool | None:
        """Whether operations under count made all arrays in a result; None if it has none."""
        arrays: list[Any] = []
        waiting, seen = [result], set[int]()
        while waiting:
            value = waiting.pop()
            if id(value) in seen:  # a list may be in itself
                continue
            seen.add(id(value))
            if isinstance(value, dict):
                waiting.extend(value.values())
            elif isinstance(value, list | tuple):
                waiting.extend(value)
            elif hasattr(value, "__cuda_array_interface__"):
                arrays.append(None)  # NumPy made nothing on a GPU
            elif hasattr(value, "__array__") and not isinstance(value, np.generic | type):
                arrays.append(np.asanyarray(value))
        return all(map(self._made, arrays)) if arrays else None

    def _made(self, array: Any) -> bool:
        while isinstance(array, np.ndarray):
            if isinstance(array, Counted) or id(array) in self._filled:
                return True
            array = array.base
        return False

    def tracks(self, result: Any) -> bool:
        """Whether a function's result will be counted on, or there is nothing to count."""
        if isinstance(result, list | tuple):
            return all(map(self.tracks, result))
        return isinstance(result, Counted)

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a ufunc's method on plain arrays and count it."""
        plain = _plain(inputs)
        named = {name: _plain(value) for name, value in kwargs.items() if name != "out"}
        out = kwargs.get("out")
        if out is not None:
            named["out"] = tuple(map(_array, out))
        result = getattr(ufunc, method)(*plain, **named)
        if result is NotImplemented or not self.open:
            return result
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        self.note(name, ufunc_work(ufunc, method, plain, named, result))
        if out is None:
            return self.wrap(result)
        for array in out:
            self._fill(array)
        if isinstance(result, tuple):
            return tuple(self.wrap(r) if o is None else o for r, o in zip(result, out, strict=True))
        return out[0]

    def apply(self, name: str, function: Any, rule: Rule, args: Any, kwargs: Any) -> Any:
        """Run a function on plain arrays and count it by its rule."""
        place = OUT_AT.get(name, len(args))
        if len(args) > place:
            args, kwargs = args[:place], {**kwargs, "out": args[place]}
        plain, named = _plain(args), _plain(kwargs)
        out = kwargs.get("out")
        if isinstance(out, Counted):
            named["out"] = _array(out)
        result = function(*plain, **named)
        if not self.open:
            return result
        try:
            work = rule(plain, named, result)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
            work = unknown(plain, named, result)  # called in a way that the rule does not foresee
        self.note(name, work)
        if out is not None:
            self._fill(out)
        for given in (out, *args, *kwargs.values()):  # what is given back is the object that was given
            if isinstance(given, np.ndarray) and result is _array(given):
                return given
        return self.wrap(result)

    def note(self, name: str, work: Work) -> None:
        """Add what an operation did."""
        if self.open:
            self.tally.add(name, work.dtype, work.operations, work.read, work.written)
            if not work.known:
                self.tally.leave_out(name)

    def wrap(self, result: Any) -> Any:
        """Return a result whose arrays, and scalars, count on."""
        if not self.open:
            return result
        if type(result) is np.ndarray:
            return self._count(result)
        if isinstance(result, np.generic) and not isinstance(result, np.flexible):
            counted = self._count(np.array(result))
            counted._scalar = True
            return counted
        if isinstance(result, tuple):
            return _tuple_like(result, map(self.wrap, result))
        return list(map(self.wrap, result)) if type(result) is list else result

    def _count(self, array: Any) -> Counted:
        counted = cast(Counted, array.view(Counted))
        counted._run, counted._plain = self, array
        self.watch(counted)
        return counted

    def _fill(self, array: Any) -> None:
        while isinstance(array, np.ndarray):
            if id(array) not in self._filled:
                self._filled.add(id(array))
                self._kept.append(array)  # or its id might become another's
            array = array.base


def _exchange_in(container: Any, exchange: Callable[[Any], Any]) -> None:
    """Exchange what is in a list, a dict or an array of objects, in place."""
    # A subclass may make more of an assignment.
    kind: Any = next(kind for kind in (dict, list, np.ndarray) if isinstance(container, kind))
    pairs: Any = {dict: dict.items, list: enumerate, np.ndarray: np.ndenumerate}[kind]
    for key, old in list(pairs(container)):
        new = exchange(old)
        if new is not old:
            kind.__setitem__(container, key, new)


def _tuple_like(value: tuple[Any, ...], content: Any) -> Any:
    """Return a tuple of the kind of another with other content."""
    return type(value)(*content) if hasattr(value, "_fields") else tuple.__new__(type(value), content)


_finished = _Run()
_finished.open = False


def _run_of(values: Any) -> _Run:
    """Return the run that an array among the values belongs to; if it is over, one that counts nothing."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Counted):
            if value._run is not None and value._run.open:
                return value._run
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
    return _finished


def _array(value: Any) -> Any:
    """Return the plain array of the same memory, also for what stands for a scalar."""
    if not isinstance(value, Counted):
        return value
    plain = value._plain
    if plain is None or (plain.shape, plain.strides, plain.dtype) != (
        value.shape,
        value.strides,
        value.dtype,
    ):
        return value.view(np.ndarray)  # NumPy made the view, or the array was given another shape in place
    return plain


def _plain(value: Any) -> Any:
    """Return what NumPy would have here without counting, also in lists, tuples and dicts."""
    if isinstance(value, Counted):
        return _array(value)[()] if value._scalar else _array(value)
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def _arrays(key: Any) -> list[Any]:
    """Return the arrays in an index."""
    parts = key if isinstance(key, tuple) else (key,)
    return [part for part in parts if isinstance(part, np.ndarray)]
