"""NumPy: its products are its BLAS library's, whose threads the environment sets.

It has no dense layer and no bfloat16 of its own.
"""

import numpy as np

from benchmarks.inputs import Arrays
from benchmarks.peers import Contender, not_offered
from benchmarks.suites import Case


def start(threads: int) -> None:
    """Leave the threads to OPENBLAS_NUM_THREADS and its like, which are read when NumPy is loaded."""


def make(case: Case, arrays: Arrays) -> dict[str, Contender]:
    """Return NumPy's calls."""
    out = arrays.out
    match case.operation, case.dtype:
        case "product", "float32" | "float64":
            a, b = arrays.operands()
            return {"numpy": Contender(lambda: np.matmul(a, b, out=out))}
        case "fresh", _:
            a, b = arrays.operands()
            return {"numpy": Contender(lambda: np.matmul(a, b), returns=True)}
        case "relu", _:
            x = arrays.a
            return {
                "numpy": Contender(lambda: np.maximum(x, 0, out=out)),
                "numpy copy": Contender(lambda: np.copyto(out, x), role="copy"),
            }
    raise not_offered(case.operation, case.dtype)
