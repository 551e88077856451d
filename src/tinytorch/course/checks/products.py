"""What the checks of every hand-written product ask: its values, its shapes, compiled loops of its own."""

import re
from typing import Any

import numpy as np

from tinytorch.course.checks import comparing
from tinytorch.course.subject import Call, Probe, RaisedError, Subject, WrongError

#: Of the time of loops in the interpreter. Compiled ones take a hundredth, in threads on a busy machine more
#: than a tenth; with a call of a compiled function for each element it is several times that time.
_COMPILED = 0.4


def values(learner: Subject, name: str, A: np.ndarray, B: np.ndarray, words: str, **kwargs: Any) -> None:
    """Require the product of two arrays, in their own dtype and nearly its accuracy."""
    dtype = A.dtype
    learner.call(Probe("soiled"), A.shape[0] * B.shape[1] * dtype.itemsize)
    what = f"{name} of {dtype} {A.shape} and {B.shape}{words}"
    found = comparing.called(learner, what, name, A, B, **kwargs)
    found = comparing.array(what, found, (A.shape[0], B.shape[1]), dtype, _DTYPE)
    expected = np.matmul(A, B, dtype=np.float64)
    bound = A.shape[1] * np.finfo(dtype).eps * np.matmul(abs(A), abs(B), dtype=np.float64)
    if not (abs(found - expected) <= bound).all():  # of NaN both are false
        single = A.shape[1] * np.finfo(np.float32).eps * np.matmul(abs(A), abs(B))
        if (abs(found - expected) <= single).all():
            raise WrongError(
                f"{what} is only as accurate as float32",
                "What type does the accumulator have? Sum in float64.",
            )
        if np.isnan(found).any():
            raise WrongError(
                f"{what} has NaN in {int(np.isnan(found).sum())} of {found.size} values",
                _EMPTY,
            )
        # What was in memory before may be any number; after a call it is that call's result.
        again = (learner.call(name, A, B, **kwargs) for _ in range(3))
        if any(isinstance(one, np.ndarray) and not np.array_equal(one, found) for one in again):
            raise WrongError(f"{what} is another result from call to call", _EMPTY)
        comparing.close(what, found, expected, bound, dtype, "C[i, j] = sum over k of A[i, k] * B[k, j].")


_EMPTY = (
    "Memory of np.empty holds whatever was there before: give it zeros before you add to it. And beyond an "
    "array's end is memory, too: does each index run along the dimension that it is for?"
)
_DTYPE = (
    "An array with a row for each of A's and a column for each of B's, of the dtype of the inputs: np.zeros "
    "and np.empty make float64 unless told."
)


def mismatch(learner: Subject, name: str, A: np.ndarray, B: np.ndarray, why: str) -> None:
    """Require a ValueError that names both shapes."""
    error = comparing.raises(learner, ("ValueError",), why, name, A, B)
    shapes_named(name, error, A.shape, B.shape)


def shapes_named(name: str, error: RaisedError, *shapes: tuple[int, ...]) -> None:
    """Require a message that names these shapes, however they are written."""
    for shape in shapes:
        if not re.search(r"\b" + r"\D+".join(map(str, shape)) + r"\b", error.message):
            raise WrongError(
                f"{name} raised ValueError({error.message!r}), which does not name the shape {shape}",
                "Who reads the message should see both shapes: put x.shape into it. (In a function under "
                "@njit an f-string cannot: look at the shapes in the one that calls it.)",
            )


def compiled(learner: Subject, name: str, rng: np.random.Generator) -> None:
    """Require a speed that only compiled loops have."""
    A, B = rng.standard_normal((100, 60)), rng.standard_normal((60, 100))
    ratio = learner.ratio(Call(name, (A, B)), Call(Probe("product_in_python"), (A, B)))
    if ratio.value > _COMPILED:
        raise WrongError(
            f"{name} takes {ratio.value:.2g} of the time of loops in the interpreter; compiled ones take "
            f"under {_COMPILED:g}",
            "All three loops belong in one function under @njit: what stands outside is interpreted. And "
            "one that is defined within another is compiled anew in each call.",
        )
    for (left, right), found in ratio.seen:
        comparing.close(f"{name}, called again and again,", found, left @ right, 1e-9, np.float64, _EMPTY)
