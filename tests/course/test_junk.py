"""What no honest function returns: each check judges it, in words that can be printed."""

import numpy as np
import pytest

from tinytorch.course import outcome
from tinytorch.course.exercises import exercises
from tinytorch.course.subject import NotRunError, Other, Probe, RaisedError, Ratio

_FIVE = (
    "element_wise_multiply",
    "element_wise_add",
    "squared_difference",
    "euclidean_distance",
    "dot_product",
)
_SEEN = ("result", "inside", "given", "names")
_ODD = {
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": 1 << 1024,
    "nothing": None,
    "true": True,
    "text": "\x1b[31m\n\u202e",
    "list": [],
    "dict": {},
    "array of nan": np.full(20, np.nan),
    "0-d": np.array(np.nan),
    "complex": np.zeros(20, complex),
    "other": Other("\x1b[2J\n\u202eevil"),
    "pair": (Other("\x07"), Other("\x07")),
    "pair of arrays": (np.zeros(3), np.zeros(3)),
    "arrays": [np.zeros(2)] * 3,
    "texts": ["a"] * 40,
    "as a probe": {key: [1] for key in _SEEN},
    "as a probe of nothing": dict.fromkeys((*_SEEN, "message", "raised", "cause")),
    "error": {"message": "1 2 3 4 5 6 7 8 9 10 11 12", "raised": [], "cause": None},
}
CASES = {
    **_ODD,
    **{f"five {name}": dict.fromkeys(_FIVE, value) for name, value in _ODD.items()},
    **{f"counts {name}": dict.fromkeys(("xmm", "ymm", "zmm", "neon"), value) for name, value in _ODD.items()},
}


class Always:
    """A subject that answers whatever is asked in the same way, at no time."""

    def __init__(self, answer):
        self._answer = answer

    def call(self, target, /, *args, **kwargs):
        return self._answer(target, args, kwargs) if callable(self._answer) else self._answer

    def ratio(self, first, second, rounds=7):
        found = [self.call(one.target, *one.args, **one.kwargs) for one in (first, second)]
        return Ratio(0.0, *found, ((first.args, found[0]),))

    def busiest(self, target, /, *args, seconds=1.0, **kwargs):
        return 0.5

    def gpu(self, name, grid, block, /, *args):
        raise NotRunError("no kernels here")

    def uses(self, name):
        return frozenset({"numba.njit", "Sequential", "cache_friendly_matmul", "vectorized_relu"})


def nothing_but_nan(target, args, kwargs):
    """Answer in the right form throughout, with NaN in the place of every number."""
    nan = float("nan")
    match target:
        case "time_kernel":
            asked, *rest = args
            if asked.name == "failing":
                raise RaisedError(("ArithmeticError",), "")
            return ({"args": rest, "kwargs": kwargs} if asked.name == "echo" else 1, nan)
        case Probe("watched"):
            repeats, warmup = kwargs.get("repeats", 20), kwargs.get("warmup", 2)
            calls = repeats + warmup
            seen = {"inside": [1e-3 * number for number in range(calls)], "given": [list(args[2:])] * calls}
            return {"result": np.full(repeats, nan), **seen}
        case Probe("watched_together"):
            rounds, names = kwargs["rounds"], [*args[1]]
            order = [*reversed(names), *names * (rounds - 1)]
            seen = {"names": order, "inside": [1e-3] * len(order), "given": [list(args[2:])] * len(order)}
            return {"result": {name: np.full(rounds, nan) for name in names}, **seen}
        case "matmul_loops" | "cache_friendly_matmul" | "quantized_matmul":
            A, B = args[:2]
            return np.full((len(A), B.shape[1]), nan, A.dtype)
    arrays = [one for one in args if isinstance(one, np.ndarray)]
    return np.full_like(arrays[0], nan) if arrays and arrays[0].dtype.kind == "f" else nan


@pytest.mark.parametrize("name", [*exercises()])
def test_every_check_judges_whatever_comes(name):
    for case, answer in {**CASES, "nothing but nan": nothing_but_nan}.items():
        found = outcome.run(exercises()[name], Always(answer), seed=1)
        assert found.points == 0, (case, found)
        assert all(line.isprintable() for line in f"{found.message}\n{found.hint}".split("\n")), (case, found)
        assert len(found.message) <= 2000
