"""How many operations NumPy's products, searches and factorizations are, by the shapes of their arrays.

A formula is called with the result and what the function was called with; NaN where shapes do not tell.
"""

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from tinytorch.measure.counting.numpy_work import size

Formula: TypeAlias = Callable[..., float]


def _dot(result: Any, a: Any, b: Any, *rest: Any, **options: Any) -> float:
    if not np.ndim(a) or not np.ndim(b):
        return size(result)
    return 2 * np.shape(a)[-1] * size(result)


def _vdot(result: Any, a: Any, b: Any) -> float:
    return 2 * size(a)


def _tensordot(result: Any, a: Any, b: Any, axes: Any = 2) -> float:
    if isinstance(axes, Integral):
        summed: list[int] = list(range(np.ndim(a) - int(axes), np.ndim(a)))
    else:
        summed = list(np.atleast_1d(np.asarray(axes[0], np.intp)))
    if not summed:
        return size(result)
    return 2 * math.prod(np.shape(a)[axis] for axis in summed) * size(result)


def _outer(result: Any, *args: Any, **options: Any) -> float:
    return size(result)


def _cross(result: Any, *args: Any, **options: Any) -> float:
    return 3 * size(result)  # each component is the difference of two products


#: Modes of correlations by the numbers that NumPy also takes.
_MODES: dict[str | int, str] = {0: "valid", 1: "same", 2: "full"}


def _correlate(result: Any, a: Any, v: Any, mode: str | int = "valid") -> float:
    small, large = sorted((size(a), size(v)))
    full = small + large - 1
    first = {"full": 0, "same": small - small // 2 - 1, "valid": small - 1}[_MODES.get(mode, str(mode))]
    kept = range(first, first + size(result))
    return 2 * sum(min(i + 1, small, full - i) for i in kept)


def _convolve(result: Any, a: Any, v: Any, mode: str | int = "full") -> float:
    return _correlate(result, a, v, mode)


def _extreme(result: Any, a: Any, *args: Any, **options: Any) -> float:
    return size(a) - size(result)


def _each(result: Any, a: Any, *args: Any, **options: Any) -> float:
    return size(a)


def _equal(result: Any, a: Any, b: Any, equal_nan: bool = False) -> float:
    return max(0, 2 * size(a) - 1) if np.shape(a) == np.shape(b) else 0  # compared, and all of it asked


def _norm(result: Any, x: Any, order: Any = None, axis: Any = None, *args: Any, **options: Any) -> float:
    """Norms of vectors: squares or absolute values, their sums or extremes, roots of sums of squares."""
    order = options.get("ord", order)
    axis = options.get("axis", axis)
    dims = np.ndim(x) if axis is None else len(np.atleast_1d(axis))
    if order in (None, "fro") or (dims == 1 and order == 2):
        return 2 * size(x)
    if dims == 1 and order in (1, np.inf, -np.inf):
        return 2 * size(x) - size(result)
    return math.nan


def _batch(a: Any) -> int:
    return math.prod(np.shape(a)[:-2])


# Matrix computations: G. Golub, C. Van Loan, Matrix Computations, 4th edition, section or figure as named;
# LAPACK's drivers are quoted with the same counts. Those of eigenvalues and singular values are iterative:
# the book gives what the iterations typically come to.


def _lu(result: Any, a: Any) -> float:
    return _batch(a) * 2 / 3 * np.shape(a)[-1] ** 3  # section 3.2


def _solve(result: Any, a: Any, b: Any = None) -> float:
    """LU factorization and two triangular systems: n^2 each for a right side, of which an inverse has n."""
    return _lu(result, a) + 2 * np.shape(a)[-1] * size(result)


def _cholesky(result: Any, a: Any, **options: Any) -> float:
    return _batch(a) * np.shape(a)[-1] ** 3 / 3  # section 4.2


def _qr(result: Any, a: Any, mode: str = "reduced") -> float:
    m, n = np.shape(a)[-2:]
    small, large = sorted((m, n))
    triangle = 2 * small * small * (large - small / 3) if m >= n else 2 * m * m * (n - m / 3)  # section 5.2
    if mode in ("r", "raw"):
        return _batch(a) * triangle
    if mode == "complete":
        return _batch(a) * (triangle + 4 * (m * m * small - m * small**2 + small**3 / 3))
    return _batch(a) * (triangle + 2 * small * small * (m - small / 3))


def _eigh(result: Any, a: Any, *args: Any, **options: Any) -> float:
    return _batch(a) * 9 * np.shape(a)[-1] ** 3  # section 8.3


def _eigvalsh(result: Any, a: Any, *args: Any, **options: Any) -> float:
    return _batch(a) * 4 / 3 * np.shape(a)[-1] ** 3


def _eig(result: Any, a: Any) -> float:
    return _batch(a) * 25 * np.shape(a)[-1] ** 3  # section 7.5


def _eigvals(result: Any, a: Any) -> float:
    return _batch(a) * 10 * np.shape(a)[-1] ** 3


def _svd(
    result: Any, a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> float:
    n, m = sorted(np.shape(a)[-2:])
    if not compute_uv:
        return _batch(a) * (4 * m * n * n - 4 / 3 * n**3)  # figure 8.6.1
    if full_matrices:
        return _batch(a) * (4 * m * m * n + 8 * m * n * n + 9 * n**3)
    return _batch(a) * (14 * m * n * n + 8 * n**3)


def _svdvals(result: Any, a: Any) -> float:
    return _svd(result, a, compute_uv=False)


def _lstsq(result: Any, a: Any, *args: Any, **options: Any) -> float:
    n, m = sorted(np.shape(a))
    return 4 * m * n * n + 8 * n**3  # by singular values, section 5.5


def _pinv(result: Any, a: Any, *args: Any, **options: Any) -> float:
    n, m = sorted(np.shape(a)[-2:])
    return _svd(result, a, full_matrices=False) + _batch(a) * 2 * m * n * n


#: Formulas of functions whose result may be of another dtype than what was computed with.
SEARCHES = (_extreme, _each, _equal)
FORMULAS: dict[str, Formula] = {
    **{"dot": _dot, "inner": _dot, "vdot": _vdot, "tensordot": _tensordot, "linalg.tensordot": _tensordot},
    **{"outer": _outer, "linalg.outer": _outer, "cross": _cross, "linalg.cross": _cross},
    **{"convolve": _convolve, "correlate": _correlate, "argmax": _extreme, "argmin": _extreme},
    **dict.fromkeys(("count_nonzero", "nonzero", "flatnonzero", "argwhere", "bincount"), _each),
    **{"array_equal": _equal, "linalg.norm": _norm, "linalg.det": _lu, "linalg.slogdet": _lu},
    **{"linalg.solve": _solve, "linalg.inv": _solve, "linalg.cholesky": _cholesky, "linalg.qr": _qr},
    **{"linalg.eigh": _eigh, "linalg.eigvalsh": _eigvalsh, "linalg.eig": _eig, "linalg.eigvals": _eigvals},
    **{"linalg.svd": _svd, "linalg.svdvals": _svdvals, "linalg.lstsq": _lstsq, "linalg.pinv": _pinv},
}
