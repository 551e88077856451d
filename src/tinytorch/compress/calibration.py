"""Scales for what a layer is given, from what it was given: the largest, a percentile, the least error.

A scale that is known before saves a layer the look at each row; what lies beyond it saturates. "max" lets
nothing saturate, and one stray value makes every step coarse; "percentile" gives some values up; "mse" looks
for the range whose mean squared error, of rounding and of saturation together, is least.
"""

import numpy as np

from tinytorch.ops.quantize import HIGHEST, LOWEST
from tinytorch.runtime.arrays import Array

METHODS = ("max", "percentile", "mse")
#: Values of a layer that are kept to choose from; more are thinned out evenly.
_KEPT = 1 << 18
#: Ranges that "mse" tries, in equal steps from all of it down to a fiftieth.
_TRIED = 100

Scale = tuple[float, int]


class Observer:
    """Sees what a layer is given: its range exactly, and a sample of its values.

    >>> seen = Observer()
    >>> seen.see(np.array([[0.0, 254.0]]))
    >>> seen.scale("max", symmetric=True)
    (2.0, 0)
    """

    def __init__(self) -> None:
        self.low, self.high, self.count = 0.0, 0.0, 0
        self._values: list[Array] = []
        self._kept = 0
        self._step = 1  # of all values, one in so many is kept

    def see(self, x: Array) -> None:
        """Look at one input."""
        if not x.size:
            return
        if not np.isfinite(x).all():
            raise ValueError("calibration met NaN or infinity: int8 has neither")
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        flat = x.reshape(-1)
        first = -self.count % self._step
        self._values.append(flat[first :: self._step].astype(np.float32))
        self.count += flat.size
        self._kept += self._values[-1].size
        while self._kept > _KEPT:
            whole = np.concatenate(self._values)[::2]
            self._values, self._kept, self._step = [whole], whole.size, 2 * self._step

    def values(self) -> Array:
        """Return the sample."""
        return np.concatenate(self._values) if self._values else np.empty(0, np.float32)

    def scale(self, method: str = "max", percentile: float = 99.99, symmetric: bool = False) -> Scale:
        """Choose a scale and a zero point; a range always includes 0, which many values are exactly.

        Raises ValueError for another method and a percentile outside 50 to 100.
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
        if not 50 <= percentile <= 100:
            raise ValueError(f"percentile must be from 50 to 100, not {percentile!r}")
        low, high = self.low, self.high
        if method == "percentile" and self.count:
            values = self.values().astype(np.float64)
            low = min(0.0, max(low, float(np.percentile(values, 100 - percentile))))
            high = max(0.0, min(high, float(np.percentile(values, percentile))))
        if method == "mse":
            values = self.values().astype(np.float64)
            tried = [parameters(low * part, high * part, symmetric) for part in np.linspace(1, 0.02, _TRIED)]
            return min(tried, key=lambda scale: squared_error(values, scale))
        return parameters(low, high, symmetric)


def parameters(low: float, high: float, symmetric: bool) -> Scale:
    """Return the scale and the zero point whose codes cover a range that includes 0.

    >>> parameters(-1.0, 509.0, symmetric=False)
    (2.0, -128)
    """
    if symmetric:
        scale, point = max(high, -low) / HIGHEST, 0
    else:
        scale = high / (HIGHEST - LOWEST) - low / (HIGHEST - LOWEST)
        point = round(LOWEST - low / scale) if scale > 0 else 0
    if not scale > 0 or not np.float32(scale) > 0:
        return 1.0, 0
    return float(scale), min(max(point, LOWEST), HIGHEST)


def squared_error(values: Array, scale: Scale) -> float:
    """Return the mean squared error of values that are brought to codes and back."""
    if not values.size:
        return 0.0
    step, point = scale
    codes = np.clip(np.rint(values / step) + point, LOWEST, HIGHEST)
    return float(np.mean(np.square((codes - point) * step - values)))
