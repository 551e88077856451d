"""From a Python function of one tile to machine code that the pool runs over many.

A kernel is written as `body(tile, thread, *arguments)`: what tile number `tile` of the result is. How many
tiles there are follows from the shape alone, never from the number of threads, so the same input gives
bitwise the same output on any number of them. `thread` is the number of the thread that does the tile, below
the number that was asked for; it says which scratch memory is free to use, and nothing else.

    @tile_kernel(lambda T: (T[::1], T[::1]))
    def double(tile, thread, x, out):
        for i in range(tile * 1024, min((tile + 1) * 1024, x.size)):
            out[i] = x[i] + x[i]

    double[x.dtype](tiles, x, out, threads=2)

A signature is compiled when it is first asked for. Arguments are contiguous, aligned arrays and scalars of
exactly the declared types: `runtime.arrays` makes them so.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc

from tinytorch.runtime import pool
from tinytorch.runtime.building import building
from tinytorch.runtime.cache import KernelCache, identity
from tinytorch.runtime.intrinsics import address_of, tuple_at

#: Contraction lets a*b + c become one fused multiply-add: one rounding less. It keeps NaN, inf and -0.0.
CONTRACT = frozenset({"contract"})
#: Reassociation also lets a sum be split over vector lanes. It keeps NaN and inf; only the order changes,
#: and it changes at compile time, so results still repeat bit for bit.
REASSOCIATE = frozenset({"contract", "reassoc"})

#: What owns machine code, kept while the process lives: plans and launches hold bare addresses of it.
_kept: list[Any] = []


def device_function(body: Callable[..., Any]) -> Any:
    """Compile a helper that kernels call; it becomes part of whatever kernel calls it.

    What Python calls for the same answer is its `py_func`.
    """
    return numba.njit(nogil=True, error_model="numpy", fastmath=set(CONTRACT))(body)


def compiled(signature: Any, body: Callable[..., Any]) -> Any:
    """Compile `body` for one signature, through the cache on disk."""
    name, kept = identity(body)
    with building:
        function = numba.njit(nogil=True, error_model="numpy")(_named(body, name))
        function._cache = KernelCache(name) if kept else NullCache()
        function.compile(signature)
        function.disable_compile()
        _kept.append(function)
        return function


def entry_point(signature: Any, body: Callable[..., Any]) -> Any:
    """Compile `body` for one signature, and return what Python calls past numba's dispatcher.

    The dispatcher looks up the types of all arguments at each call (0.2 us of a small product's 1 us). Who
    calls past it answers for them.
    """
    return next(iter(compiled(signature, body).overloads.values())).entry_point


def _named(body: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a copy of a function under another name.

    numba makes symbols of the name and a number that counts up within the process. Code from the cache was
    numbered in another process, and the linker takes the first of two symbols that are alike: without names
    of their own, one kernel could run another's code.
    """
    assert isinstance(body, FunctionType)
    copy = FunctionType(body.__code__, body.__globals__, name, body.__defaults__, body.__closure__)
    copy.__qualname__ = name
    copy.__module__ = body.__module__
    return copy


def tile_function(body: Callable[..., None], arguments: Any, fastmath: frozenset[str] = CONTRACT) -> int:
    """Compile `body(tile, thread, *arguments)` and return the address of what `pool.launch` runs.

    `arguments` is the numba type of the tuple that lies where the launch's last argument points.
    """
    name, kept = identity(body, sorted(fastmath), arguments)
    with building:
        options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
        inner = numba.njit(**options)(_named(body, name))

        def tile(address, number, thread):
            inner(number, thread, *tuple_at(address, arguments))

        return callback((types.int64,) * 3, _named(tile, f"tile_of_{name}"), kept, error_model="numpy")


def callback(
    arguments: tuple[Any, ...], body: Callable[..., None], kept: bool | None = None, **options: Any
) -> int:
    """Compile `body` as a C function that returns nothing, and return its address.

    `kept` says that the body has a name of its own already, and whether it goes through the cache on disk.
    """
    named = body
    if kept is None:
        name, kept = identity(body)
        named = _named(body, name)
    with building:
        result: Any = CFunc(named, (arguments, types.void), {}, options)
        result._cache = KernelCache(named.__name__) if kept else NullCache()
        result.compile()
        _kept.append(result)
        return int(result.address)


class TileKernel:
    """A kernel for every dtype it is asked for: `kernel[dtype](tiles, *arguments, threads=1)`."""

    def __init__(
        self, body: Callable[..., None], signature: Callable[[Any], tuple[Any, ...]], fastmath: frozenset[str]
    ) -> None:
        self.body = body
        self.__doc__ = body.__doc__
        self._signature = signature
        self._fastmath = fastmath
        self._variants: dict[np.dtype[Any], Callable[..., None]] = {}

    def __getitem__(self, dtype: Any) -> Callable[..., None]:
        """Return the kernel for one dtype, compiled if this is the first time it is asked for."""
        try:
            return self._variants[dtype]
        except KeyError:
            with building:
                if dtype not in self._variants:
                    self._variants[dtype] = self._compile(np.dtype(dtype))
                return self._variants[dtype]

    def _compile(self, dtype: np.dtype[Any]) -> Callable[..., None]:
        arguments = types.Tuple(self._signature(numba.from_dtype(dtype)))
        address = tile_function(self.body, arguments, self._fastmath)

        def launcher(pool_address, threads, tiles, tile_address, arguments):
            pool.launch(pool_address, threads, tiles, tile_address, address_of(arguments))

        launch = compiled(types.void(*[types.int64] * 4, arguments), launcher)
        current = pool.current

        def kernel(tiles: int, *args: Any, threads: int = 1) -> None:
            workers = current()
            if threads > 1 and tiles > 1:
                workers.ready(min(threads, tiles))
            launch(workers.address, threads, tiles, address, args)

        kernel.__doc__ = self.__doc__
        return kernel


def tile_kernel(
    signature: Callable[[Any], tuple[Any, ...]], fastmath: frozenset[str] = CONTRACT
) -> Callable[[Callable[..., None]], TileKernel]:
    """Declare a kernel; `signature(T)` gives the types of its arguments for a dtype T."""
    return lambda body: TileKernel(body, signature, fastmath)
