"""numba-cuda kernels to PTX, compiled as a launch would compile them, for any GPU and on none.

numba flattens an array into what its code reads: two pointers that are not used here, sizes, the address of
the data, then the shape and the strides in bytes. They are named after the user's parameter.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinytorch.gpu import launch
from tinytorch.gpu.frontends import arrays, parameters, sources
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.launch import Argument
from tinytorch.gpu.sass.assemble import assembled
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import needs


def from_numba_cuda(
    kernel: Any,
    grid: Any,
    block: Any,
    args: Sequence[Any],
    *,
    arch: str = "sm_90",
    shared: int = 0,
) -> Compiled:
    """Compile a @cuda.jit kernel, or a plain function, as `kernel[grid, block, 0, shared](*args)` would.

    `shared` is the dynamic shared memory in bytes. Raises InputError for arguments that do not fit, and for
    what numba cannot compile, with its message.
    """
    ptx, names = to_ptx(kernel, args, arch=arch)
    cubin, notes = assembled(ptx, f"sm_{launch.number(arch)}")
    made = from_ptx(ptx, names, grid, block, args, arch=arch, shared=shared)
    return replace(made, cubin=cubin, sources=sources.named_in(ptx), notes=notes)


def to_ptx(kernel: Any, args: Sequence[Any], *, arch: str = "sm_90") -> tuple[str, tuple[str, ...]]:
    """Compile a kernel for arguments; return the PTX and the names of the kernel's parameters.

    Raises InputError as `from_numba_cuda` does.
    """
    needs("numba_cuda", "numba-cuda kernels", "gpu")
    function, options = _function(kernel)
    values = _bound(function, args)
    kinds = tuple(_kind(value) for value in values.values())
    return _ptx(function, kinds, divmod(launch.number(arch), 10), options), tuple(values)


def from_ptx(
    ptx: str,
    names: Sequence[str],
    grid: Any,
    block: Any,
    args: Sequence[Any],
    *,
    arch: str = "sm_90",
    shared: int = 0,
) -> Compiled:
    """Return the launch of what `to_ptx` made, of PTX alone: no machine code, and no sources.

    No function is needed, so that PTX may come from a process that is not trusted. Raises InputError for PTX
    that does not take these arguments.
    """
    needs("numba_cuda", "numba-cuda kernels", "gpu")
    values = {name: _value(name, value) for name, value in zip(names, args, strict=True)}
    found = parameters.entries(ptx)
    if len(found) != 1:
        raise InputError(f"the PTX holds {len(found)} kernels, not one")
    flat = tuple(part for name, value in values.items() for part in _flat(name, value, _kind(value)))
    expected = len(parameters.slots(ptx, found[0]))
    if len(flat) != expected:
        raise InputError(f"numba passes {expected} parameters to {found[0]}, {len(flat)} are known")
    return Compiled(
        frontend="numba-cuda",
        language="Python",
        entry=found[0],
        arch=f"sm_{launch.number(arch)}",
        ptx=ptx,
        cubin=None,
        grid=launch.grid(grid),
        block=launch.block(block),
        shared=launch.shared(shared),
        arguments=flat,
        sources={},
    )


def is_kernel(value: Any) -> bool:
    """Say whether a value is a numba-cuda kernel."""
    return type(value).__name__ == "CUDADispatcher"


def _function(kernel: Any) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """Return the Python function and the options that @cuda.jit was given."""
    if type(kernel).__name__ == "FakeCUDAKernel":
        raise InputError("NUMBA_ENABLE_CUDASIM was set when the kernel was made; unset it to compile")
    options = getattr(kernel, "targetoptions", {})
    function = getattr(kernel, "py_func", kernel)
    if not inspect.isfunction(function):
        raise InputError(f"a numba-cuda kernel is a function under @cuda.jit, not {type(kernel).__name__}")
    if options.get("device"):
        raise InputError(f"{function.__name__} is a device function; name the kernel that calls it")
    return function, options


def _bound(function: Callable[..., Any], args: Sequence[Any]) -> dict[str, Any]:
    signature = inspect.signature(function)
    if len(args) != len(signature.parameters):
        names = ", ".join(signature.parameters)
        raise InputError(
            f"{function.__name__} takes {len(signature.parameters)} arguments ({names}), not {len(args)}"
        )
    return {name: _value(name, value) for name, value in zip(signature.parameters, args, strict=True)}


def _value(name: str, value: Any) -> Any:
    """Return an array as NumPy's, whatever made it."""
    if isinstance(value, tuple):
        return tuple(_value(f"{name}[{i}]", part) for i, part in enumerate(value))
    if not arrays.is_array(value):
        return value
    if getattr(value.dtype, "names", None) and not value.dtype.hasobject:
        return value  # of records, which only numba reads
    argument = arrays.array(name, value)
    if argument.dtype:
        raise InputError(f"{name} is an array of {argument.dtype}, which numba-cuda does not take")
    return argument.value


def _kind(value: Any) -> Any:
    from numba import cuda

    try:
        return cuda.jit(lambda: None).typeof_pyval(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"numba knows no type for {type(value).__name__}: {_told(error)}") from None


def _ptx(
    function: Callable[..., Any], kinds: tuple[Any, ...], cc: tuple[int, int], options: Mapping[str, Any]
) -> str:
    from numba import cuda
    from numba.core.errors import NumbaError

    kept = {name: options[name] for name in ("fastmath", "opt", "launch_bounds") if name in options}
    try:
        with _compiling_for(cc):
            ptx, _ = cuda.compile(
                function, kinds, device=False, abi="numba", cc=cc, debug=False, lineinfo=True, **kept
            )
    except NumbaError as error:
        raise InputError(f"numba cannot compile {function.__name__}: {_told(error)}") from error
    except Exception as error:  # NVVM's errors have no common class
        if type(error).__module__.partition(".")[0] not in ("numba", "cuda", "builtins"):
            raise
        raise InputError(
            f"numba cannot compile {function.__name__} for sm_{cc[0]}{cc[1]}: {_told(error)}"
        ) from error
    return str(ptx)


@contextlib.contextmanager
def _compiling_for(cc: tuple[int, int]) -> Iterator[None]:
    """Let numba compile device functions that a kernel calls for the same GPU: it asks for that in use."""
    from numba.cuda import dispatcher

    asks = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
    try:
        yield
    finally:
        dispatcher.get_current_device = asks


def _flat(name: str, value: Any, kind: Any) -> Iterator[Argument]:
    """Yield what numba passes for one value, in its order (numba-cuda, dispatcher.py)."""
    from numba.core import types

    if isinstance(kind, types.Array):
        yield Argument(f"{name}.meminfo", None)
        yield Argument(f"{name}.parent", None)
        yield Argument(f"{name}.size", np.int64(value.size))
        yield Argument(f"{name}.itemsize", np.int64(value.itemsize))
        yield Argument(name, value)
        yield from (Argument(f"{name}.shape[{i}]", np.int64(side)) for i, side in enumerate(value.shape))
        yield from (Argument(f"{name}.strides[{i}]", np.int64(step)) for i, step in enumerate(value.strides))
    elif isinstance(value, tuple):
        for i, (part, of) in enumerate(zip(value, kind, strict=True)):
            yield from _flat(f"{name}[{i}]", part, of)
    elif isinstance(kind, types.Complex):
        number = np.dtype(str(kind)).type(value)
        yield Argument(f"{name}.real", number.real)
        yield Argument(f"{name}.imag", number.imag)
    elif isinstance(kind, types.Boolean | types.Integer | types.Float):
        yield Argument(name, np.dtype(str(kind)).type(value))
    else:
        raise InputError(f"{name} is of numba's type {kind}, which cannot be passed here")


def _told(error: BaseException) -> str:
    """Return numba's own words in one line, the first 300 characters of it."""
    return " ".join(str(error).split())[:300] or type(error).__name__
