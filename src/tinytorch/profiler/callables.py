"""From what stands on a command line to a function and its arguments."""

import importlib
import inspect
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 (NumPy knows bfloat16 by its name once this is imported)
import numpy as np

from tinytorch.machine.quota import available_memory
from tinytorch.runtime.arrays import Array, DType
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.modules import imported

_ARRAY = re.compile(r"(?P<shape>\d+(x\d+)*)?(:(?P<dtype>[a-z]+\d*))?")
_DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")


def function(text: str) -> Callable[..., Any]:
    """Return the function that `package.module:function` or `file.py:function` names.

    Raises ValueError saying what is not there.

    >>> function("math:sqrt")(4)
    2.0
    """
    place, colon, name = text.rpartition(":")
    if not (colon and place and name):
        raise InputError(f"{text!r} names no function; write package.module:function or file.py:function")
    module = imported(Path(place)) if place.endswith(".py") else _module(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
            raise InputError(f"{place} has no {name!r}; it has {known or 'no function'}")
        found = getattr(found, part)
    if not callable(found):
        raise InputError(f"{text} is no function but of {type(found)}")
    return found


def _module(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: modules of the folder that one is in
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(f"there is no module {name!r} here: {error}") from None
        raise


def array(text: str, factor: float = 1.0, seed: int = 0) -> Array:
    """Return an array of a shape and dtype, as `512x512:float32`; each side times `factor`, at least 1.

    Floats are drawn from a normal distribution, integers from 0 to 99, always the same ones. Raises
    ValueError for what is no shape or dtype, or does not fit in memory.

    >>> array("2x3:int8").shape, array("8").dtype
    ((2, 3), dtype('float32'))
    """
    match = _ARRAY.fullmatch(text)
    if match is None or not match["shape"]:
        raise InputError(f"{text!r} is no array; write its shape and dtype as 512x512:float32")
    kind = dtype(match["dtype"] or "float32")
    shape = [max(1, round(int(side) * factor)) if int(side) else 0 for side in match["shape"].split("x")]
    needed = math.prod(shape) * max(kind.itemsize, 8)
    if needed > available_memory():
        raise InputError(f"{text!r} does not fit in memory: {needed / 2**30:.1f} GiB to make it")
    rng = np.random.default_rng(seed)
    if kind.kind in "iub":
        return rng.integers(0, 2 if kind.kind == "b" else 100, shape).astype(kind)
    return rng.standard_normal(shape).astype(kind)


def dtype(name: str) -> DType:
    """Return the dtype of a name; InputError for a name of none.

    >>> dtype("float16")
    dtype('float16')
    """
    if name not in _DTYPES:
        raise InputError(f"there is no dtype {name!r}; there are {', '.join(_DTYPES)}")
    return np.dtype(name)


def arguments(specs: Sequence[str], inputs: str | None) -> tuple[tuple[Any, ...], Any]:
    """Return the arguments for a function, and what makes them at a part of their size, or None.

    They come from the function that `inputs` names: called with nothing, or with a factor if it takes one
    argument without a default. Or they are arrays of given shapes and dtypes.
    """
    if inputs and specs:
        raise InputError("give arrays, or a function that makes the inputs, not both")
    if not inputs:

        def made(factor: float) -> tuple[Any, ...]:
            return tuple(array(spec, factor, seed) for seed, spec in enumerate(specs))

        return made(1.0), made if specs else None
    maker = function(inputs)
    try:
        parameters = inspect.signature(maker).parameters.values()
    except ValueError:  # some builtins tell nothing
        parameters = ()  # type: ignore[assignment]
    takes_factor = sum(p.default is p.empty and p.kind < p.VAR_POSITIONAL for p in parameters) == 1

    def scaled(factor: float) -> tuple[Any, ...]:
        made = maker(factor) if takes_factor else maker()
        return tuple(made) if isinstance(made, tuple | list) else (made,)

    return scaled(1.0), scaled if takes_factor else None
