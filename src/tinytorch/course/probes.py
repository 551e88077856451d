"""Functions that checks pass to a learner's code, or time it against: the same in every process."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def relu_in_python(x: np.ndarray) -> np.ndarray:
    """Return max(0, x) by a loop of the interpreter: a yardstick."""
    result = np.empty(x.size, x.dtype)
    for place, value in enumerate(x.ravel().tolist()):
        result[place] = 0 if value < 0 else value
    return result.reshape(x.shape)


def sleeping(seconds: float) -> Callable[..., Any]:
    """Return a function that sleeps for so long and returns what it was given first."""

    def sleep(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return args[0] if args else None

    return sleep
