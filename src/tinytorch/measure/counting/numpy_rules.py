"""What NumPy's operations do: the conventions of counting.

- A product of M x K by K x N is 2 M N K operations, whichever function computes it.
- A ufunc is one operation for each element of its broadcast result, be it an addition, a comparison or exp.
- A reduction of n elements into one is n - 1, or n where it starts from an `initial` value; a running sum of
  n is n - 1.
- `einsum` is counted as einsum.py says, factorizations by the formulas that numpy_formulas.py names, Fourier
  transforms as said below.
- Moving elements (copies, casts, indexing, concatenation, selection) is none. Searching and sorting do what
  the data ask for: their bytes count, their comparisons do not, and their names are reported.
- Read and written are the bytes of the operands and the results, each address once for an operation; a view
  moves nothing. A scalar that results is an element written; one that is an operand is in a register.
"""

import functools
import math
from numbers import Integral
from typing import Any

import numpy as np

from tinytorch.measure.counting.einsum import contractions
from tinytorch.measure.counting.numpy_formulas import FORMULAS, SEARCHES, Formula
from tinytorch.measure.counting.numpy_moves import (
    gather,
    in_place,
    move,
    nothing,
    put,
    select,
    store,
    unknown,
)
from tinytorch.measure.counting.numpy_work import (
    Args,
    Kwargs,
    Rule,
    Work,
    dtype_of,
    inputs_of,
    made,
    size,
    touched,
)


def operations(formula: Formula) -> Rule:
    """Return the rule of a function whose operations are `formula(result, *args, **kwargs)`."""

    @functools.wraps(formula)
    def rule(args: Args, kwargs: Kwargs, result: Any) -> Work:
        given = inputs_of(args, kwargs)
        done = formula(result, *args, **{name: value for name, value in kwargs.items() if name != "out"})
        dtype = dtype_of(result, given)
        if dtype is not None and dtype.kind in "bi" and formula in SEARCHES:
            dtype = dtype_of(given)
        known = not math.isnan(done)
        return Work(round(done) if known else 0, touched(given), made(result), dtype, known)

    return rule


def _einsum(args: Args, kwargs: Kwargs, result: Any) -> Work:
    steps = contractions(args, kwargs.get("optimize", False))
    dtype = dtype_of(result)
    width = np.asarray(result).itemsize
    done = sum(step.operations for step in steps)
    if not done and (still := move(args, {}, result)) == Work():
        return still  # a transpose or a diagonal, as a view
    read = touched([a for a in args if isinstance(a, np.ndarray | np.generic)])
    read += width * sum(step.read for step in steps)
    return Work(done, read, made(result) + width * sum(step.written for step in steps), dtype)


def _where(args: Args, kwargs: Kwargs, result: Any) -> Work:
    """A choice between two arrays moves elements; with a condition alone it is a search."""
    return (move if len(args) == 3 else operations(FORMULAS["nonzero"]))(args, kwargs, result)


# Fourier transforms: 5 N log2 N, half of it where one side is real: what the authors of FFTW take for the
# speed of any transform, whatever it really does (M. Frigo, S. Johnson, benchFFT).


def _fft(args: Args, kwargs: Kwargs, result: Any, *, real: str = "", axes: int | None = 1) -> Work:
    """Rule of a transform over `axes` last axes (None: all); `real` is the side that holds real numbers."""
    named = dict(zip(("a", "s", "axes", "norm", "out"), args, strict=False)) | kwargs
    array = named["a"]
    over = named.get("axes" if "axes" in named else "axis")
    lengths = named.get("s", named.get("n"))
    if over is None:
        over = range(-len(lengths), 0) if isinstance(lengths, list | tuple) else None
    if over is None:
        over = range(-(np.ndim(array) if axes is None else axes), 0)
    over = [over] if isinstance(over, Integral) else list(over)
    side = array if real == "input" else result
    extents = [np.shape(side)[axis] for axis in over]
    if real == "input" and lengths is not None:
        extents = [int(lengths)] if isinstance(lengths, Integral) else list(lengths)
    points = math.prod(extents)
    batch = size(result) // max(1, math.prod(np.shape(result)[axis] for axis in over))
    done = (2.5 if real else 5) * points * math.log2(points) * batch if points else 0
    return Work(round(done), touched(array), made(result), dtype_of(result))


_MOVES = (
    "concatenate stack vstack hstack dstack column_stack block append insert delete tile repeat roll pad "
    "copy tril triu diag diagflat astype resize"
)
_GATHERS = "take take_along_axis compress extract choose"
#: Where functions, and methods with their array before the rest, take the array for their result.
OUT_AT = {
    "dot": 2,
    "outer": 2,
    "argmax": 2,
    "argmin": 2,
    "choose": 2,
    "concatenate": 2,
    "take": 3,
    "compress": 3,
}
_SILENT = (
    "shape ndim size result_type can_cast may_share_memory shares_memory iscomplexobj isrealobj common_type "
    "min_scalar_type empty_like array_repr array_str array2string broadcast_to broadcast_arrays "
    "lib.stride_tricks.sliding_window_view"
)
_UNKNOWN = (
    "sort argsort lexsort partition argpartition searchsorted unique unique_values unique_counts unique_all "
    "unique_inverse digitize isin intersect1d setdiff1d union1d setxor1d interp histogram histogram2d "
    "histogramdd"
)
#: Fourier transforms, by the side that holds real numbers.
_TRANSFORMS = {
    "": "fft ifft fft2 ifft2 fftn ifftn",
    "input": "rfft ihfft rfft2 rfftn",
    "result": "irfft hfft irfft2 irfftn",
}

#: Methods of ndarray that NumPy runs without asking a subclass.
METHODS: dict[str, Rule] = {
    **dict.fromkeys(("copy", "astype", "flatten", "ravel", "reshape", "repeat", "byteswap"), move),
    **dict.fromkeys(("tolist", "tobytes"), move),
    **dict.fromkeys(("take", "compress", "choose"), gather),
    **dict.fromkeys(("argsort", "argpartition", "searchsorted"), unknown),
    **{"sort": in_place, "partition": in_place, "fill": store, "put": put},
    **{name: operations(FORMULAS[name]) for name in ("dot", "argmax", "argmin", "nonzero")},
}


@functools.cache
def function_rules() -> dict[Any, Rule]:
    """Return the rules of NumPy's functions: those in C, and those that take a subclass for an ndarray."""
    rules: dict[str, Rule] = {
        **dict.fromkeys(_MOVES.split(), move),
        **dict.fromkeys(_GATHERS.split(), gather),
        **dict.fromkeys(_SILENT.split(), nothing),
        **dict.fromkeys(_UNKNOWN.split(), unknown),
        **{name: operations(formula) for name, formula in FORMULAS.items()},
        **{"copyto": store, "putmask": select, "place": select, "put": put, "einsum": _einsum},
        "where": _where,
    }
    for real, names in _TRANSFORMS.items():
        for name in names.split():
            axes = {"2": 2, "n": None}.get(name[-1], 1)
            rules[f"fft.{name}"] = functools.partial(_fft, real=real, axes=axes)
    found = {}
    for name, rule in rules.items():
        owner: Any = np
        for part in name.split("."):
            owner = getattr(owner, part, None)  # versions of NumPy differ in what they have
        if owner is not None:
            found[owner] = rule
    return found
