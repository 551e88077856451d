"""What the lanes of a warp have in common: counting over rows of 32, for the models that need it.

A row is a warp's request or instruction, and only its active lanes count. Rows are short and many, so they
are sorted all at once: that is vector code in NumPy, and costs no more than to ask whether they are sorted.
"""

import numpy as np

LANES = 32
#: What lanes that are not active are given; no value may be that.
_NONE = np.iinfo(np.int64).max


def distinct(values: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Count the distinct values of each row's active lanes: (n, k) int64 and bool to (n,).

    >>> distinct(np.array([[1, 2, 1, 9]]), np.array([[True, True, True, False]]))
    array([2])
    """
    rows = np.where(active, values, _NONE)
    rows.sort(axis=1)
    changes = np.count_nonzero(rows[:, 1:] != rows[:, :-1], axis=1)
    return changes + active.all(axis=1)  # those that are not active have made one change, or one value
