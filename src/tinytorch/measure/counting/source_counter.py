"""Counts what a function compiled by numba does, by running its Python source once on arrays that tell.

To compiled code nothing can be given that watches it, but numba keeps the function that it compiled. A copy
of that is called in plain Python: with copies of its arrays, and with its constants, global names, other
compiled functions and the functions of `math` and NumPy exchanged for such as count: source_numbers.py,
source_arrays.py. What is counted is the source's: numba's compiler may leave out, merge or move operations.
"""

import builtins
import ctypes
import dis
import functools
import inspect
import random
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from tinytorch.measure.counting.count import Count
from tinytorch.measure.counting.source_arrays import Array, Cast, run_numpy
from tinytorch.measure.counting.source_copies import copies
from tinytorch.measure.counting.source_numbers import Scalar, enter_number, operate, use
from tinytorch.measure.counting.source_trace import LimitError, Trace, UnsupportedError

LIMIT = 300_000
#: For what takes no steps: loops on plain integers that are not over a `range`.
_SECONDS = 10.0
_NUMBA = frozenset(("literal_unroll", "literally", "get_num_threads", "get_thread_id"))


@dataclass(frozen=True)
class SourceCount:
    """What a kernel's source did, up to the limit: `complete` says whether it ended before it.

    `loads` and `stores` are of array elements; `count` has the distinct bytes under them, and is None where
    the source was not run to its end. A load is as deep as there are loads that led to its index, one after
    the other, itself included: `chain` is the depth of the deepest, `dependent_loads` are those at least 3
    deep (a gather `x[index[i]]` is 2). `lines` are the distinct cache lines of 64 bytes that were touched, of
    arrays made inside as many as there were at once.
    """

    count: Count | None
    loads: int
    dependent_loads: int
    chain: int
    stores: int
    lines: int
    complete: bool

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "count": None if self.count is None else self.count.as_dict(),
            "loads": self.loads,
            "dependent_loads": self.dependent_loads,
            "chain": self.chain,
            "stores": self.stores,
            "lines": self.lines,
            "complete": self.complete,
        }


def count_source(
    func: Any,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    limit: int = LIMIT,
) -> SourceCount | None:
    """Run the source of a function compiled by numba, up to `limit` steps, and return what it did.

    A step is an element loaded or stored, an operation on numbers or on whole arrays, a turn of a `range`;
    loops that take none are ended after some seconds. None if numba did not compile the function, or its
    source cannot be followed in plain Python: typed containers, jitclasses, intrinsics, indexing by arrays.
    Arrays that are given are not changed. ValueError for a limit below 1.

    >>> from numba import njit
    >>> @njit
    ... def scale(x, y):
    ...     for i in range(x.size):
    ...         y[i] = 2.0 * x[i]
    >>> found = count_source(scale, (np.ones(10), np.zeros(10)))
    >>> found.count.operations, found.count.read, found.count.written
    (10, 80, 80)
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    if not _is_compiled(func) or inspect.isgeneratorfunction(func.py_func):
        return None
    trace = Trace(limit)
    source = _Source(trace)
    try:
        called = source.function(func.py_func)
        given, named = source.arguments(args, dict(kwargs or {}))
        with _deadline(trace):
            result = called(*given, **named)
        use(result)
    except (LimitError, UnsupportedError):
        pass  # the trace keeps which
    except Exception:
        # The call itself is the caller's, who sees what that raises. What is raised here alone says no more
        # than that Python does not run this source as numba does.
        return None
    if isinstance(trace.ended, UnsupportedError):
        return None
    complete = trace.ended is None
    return SourceCount(
        count=trace.count("numba source") if complete else None,
        loads=trace.loads,
        dependent_loads=trace.dependent_loads,
        chain=trace.chain,
        stores=trace.stores,
        lines=trace.lines,
        complete=complete,
    )


def _is_compiled(func: Any) -> bool:
    """Whether numba compiled a function for the CPU."""
    registry = sys.modules.get("numba.core.registry")
    return registry is not None and isinstance(func, registry.CPUDispatcher)


@contextmanager
def _deadline(trace: Trace) -> Iterator[None]:
    """Raise LimitError in this thread if it is still here after some seconds."""
    thread, lock = ctypes.c_ulong(threading.get_ident()), threading.Lock()
    inside, asked = True, False

    def end() -> None:
        nonlocal asked
        with lock:
            if inside:
                asked = True
                trace.expire()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(LimitError))

    timer = threading.Timer(_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            inside = False
        timer.cancel()
        timer.join()  # lest it disturb what is timed next
        if asked:
            # It comes within a few bytecodes, if it has not come yet: here. To take it back would leave
            # Python's flag for it raised forever, and a traced loop would then never end (CPython 3.11).
            with suppress(LimitError):
                for _ in range(10):
                    time.sleep(1e-3)


class _Source:
    """The functions of one run, and what stands in them for what they name."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._functions: dict[int, FunctionType] = {}
        self._entered: dict[int, tuple[Any, Any]] = {}  # by id: what was exchanged, and for what
        self._builtins = vars(builtins) | {
            "range": functools.partial(_Range, trace),
            "min": self._extreme("minimum", min),
            "max": self._extreme("maximum", max),
            "int": Cast(trace, np.int64),
            "float": Cast(trace, np.float64),
            "complex": Cast(trace, np.complex128),
            "print": lambda *args, **kwargs: None,
        }

    def arguments(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what the source is to be called with."""
        arrays, waiting = [], [*args, *kwargs.values()]
        while waiting:
            value = waiting.pop()
            if isinstance(value, np.ndarray):
                arrays.append(value)
            elif isinstance(value, tuple):
                waiting.extend(value)
        made = copies(self._trace, arrays)
        self._entered.update({id(array): (array, made[id(array)]) for array in arrays})
        return tuple(map(self.enter, args)), {name: self.enter(value) for name, value in kwargs.items()}

    def function(self, func: FunctionType) -> FunctionType:
        """Return a copy of a function that runs on arrays and numbers that tell."""
        if id(func) in self._functions:
            return self._functions[id(func)]
        code = self._code(func.__code__)
        cells = tuple(types.CellType() for _ in func.__code__.co_freevars)
        values: dict[str, Any] = {"__builtins__": self._builtins, "__name__": func.__module__}
        again = FunctionType(code, values, func.__name__, None, cells)
        self._functions[id(func)] = again  # before its globals: among them it may be itself
        for name in _globals(func.__code__):
            if name in func.__globals__:
                values[name] = self.enter(func.__globals__[name])
        for cell, own in zip(cells, func.__closure__ or (), strict=True):
            cell.cell_contents = self.enter(own.cell_contents)
        again.__defaults__ = None if func.__defaults__ is None else tuple(map(self.enter, func.__defaults__))
        again.__kwdefaults__ = {
            name: self.enter(value) for name, value in (func.__kwdefaults__ or {}).items()
        }
        return again

    def _code(self, code: CodeType) -> CodeType:
        """Return code whose constants tell, also in the functions inside it."""
        return code.replace(co_consts=tuple(map(self._constant, code.co_consts)))

    def _constant(self, value: Any) -> Any:
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, float | complex):
            return enter_number(self._trace, value)
        return tuple(map(self._constant, value)) if type(value) is tuple else value

    def enter(self, value: Any) -> Any:
        """Return what stands for a value in the source: the same each time."""
        if value is None or type(value) in (int, bool, str, slice):
            return value
        if id(value) not in self._entered:
            self._entered[id(value)] = value, self._exchanged(value)
        return self._entered[id(value)][1]

    def _exchanged(self, value: Any) -> Any:
        if isinstance(value, float | complex | np.generic):
            return enter_number(self._trace, value)
        if isinstance(value, np.ndarray):
            return copies(self._trace, [value])[id(value)]
        if isinstance(value, tuple):
            inner = tuple(map(self.enter, value))
            return type(value)(*inner) if hasattr(value, "_fields") else inner
        if isinstance(value, ModuleType):
            return _Random(self._trace, value.__name__) if value in _RANDOM else _Module(self, value)
        return value if isinstance(value, np.dtype | types.EllipsisType) else self._callable(value)

    def _callable(self, value: Any) -> Any:
        if _is_compiled(value):
            return self.function(value.py_func)
        if "numba" in (_package(value), _package(type(value))):
            return self._of_numba(value)
        if isinstance(value, type):
            return self._type(value)
        if isinstance(value, FunctionType) and _package(value) != "numpy":
            return self.function(value)
        return self._native(value)

    def _native(self, value: Any) -> Any:
        """Return what stands for a function written in C, or one of NumPy's."""
        trace, owner = self._trace, getattr(value, "__self__", None)
        if isinstance(owner, random.Random | np.random.RandomState):
            module = random if isinstance(owner, random.Random) else np.random
            return getattr(self.enter(module), value.__name__)
        if _package(value) in ("math", "cmath"):
            return lambda *args: operate(trace, value.__name__, value, args)
        if callable(value) and (isinstance(value, np.ufunc) or _package(value) == "numpy"):
            return lambda *args, **kwargs: run_numpy(trace, value, *args, **kwargs)
        return value if _package(value) == "builtins" else trace.refuse(f"a {type(value).__name__}")

    def _type(self, value: type) -> Any:
        if issubclass(value, np.generic) or value in (int, float, complex):
            return Cast(self._trace, value)
        if value is np.ndenumerate:
            return _enumerated
        if (
            value is np.ndindex
            or issubclass(value, tuple | BaseException)
            or value in (bool, list, set, dict, range)
        ):
            return value
        return self._trace.refuse(f"the class {value.__name__}")

    def _of_numba(self, value: Any) -> Any:
        """Return what stands for something of numba's: a numeric type, `prange`."""
        numba = sys.modules["numba"]
        if value is numba.prange:
            return self._builtins["range"]
        if getattr(value, "__name__", None) in _NUMBA:
            return value
        if isinstance(value, numba.types.Number | numba.types.Boolean):
            return Cast(self._trace, str(value))
        return self._trace.refuse(f"numba's {value}")

    def _extreme(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `min` or `max`: one operation for each number after the first."""

        def pick(*values: Any, **options: Any) -> Any:
            if options or len(values) < 2 or not any(isinstance(value, Scalar) for value in values):
                return function(*values, **options)
            return functools.reduce(lambda a, b: operate(self._trace, name, function, (a, b)), values)

        return pick


class _Range:
    """A range each turn of which is a step."""

    def __init__(self, trace: Trace, *bounds: Any) -> None:
        self._trace, self._range = trace, range(*bounds)

    def __iter__(self) -> Iterator[int]:
        """Return the integers."""
        step = self._trace.step
        for i in self._range:
            step()
            yield i

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._range)

    def __getitem__(self, i: Any) -> Any:
        """Return one of the integers."""
        return self._range[i]


class _Module:
    """A module whose functions count."""

    def __init__(self, source: _Source, module: ModuleType) -> None:
        self._source, self._module = source, module

    def __getattr__(self, name: str) -> Any:
        """Exchange what the module has, once."""
        value = self._source.enter(getattr(self._module, name))
        setattr(self, name, value)
        return value


class _Random:
    """Random numbers of our own, so that the process's stay as they are; their operations are unknown."""

    def __init__(self, trace: Trace, name: str) -> None:
        self._trace, self._name = trace, name
        self._generator: Any = random.Random(0) if name == "random" else np.random.RandomState(0)

    def __getattr__(self, name: str) -> Any:
        """Return one of the generator's methods."""
        method = getattr(self._generator, name)

        def draw(*args: Any, **kwargs: Any) -> Any:
            self._trace.leave_out(f"{self._name}.{name}")
            return run_numpy(self._trace, method, *args, **kwargs)

        return draw


_RANDOM = (random, np.random)


def _enumerated(array: Array) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Be `numpy.ndenumerate` of an array that tells."""
    return ((place, array[place]) for place in np.ndindex(array.shape))


def _globals(code: CodeType) -> set[str]:
    """Return the global names that code uses, also in the functions inside it."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    for value in code.co_consts:
        if isinstance(value, CodeType):
            names |= _globals(value)
    return names


def _package(value: Any) -> str:
    return (getattr(value, "__module__", None) or "").split(".")[0]
