from numba import vectorize
import math
@vectorize(["int8(float64, float64)", "int8(float32, float64)"])
def _q(v, s):
    r = round(v / s) if abs(v / s) < 1000 else math.copysign(1000, v)
    return max(-128, min(127, r))
def quantize(x: np.ndarray, scale: float) -> np.ndarray:
    if not (0 < scale < math.inf):
        raise ValueError(f"scale {scale}")
    if np.isnan(x).any() or np.isinf(x).any():
        raise ValueError("x")
    return _q(x, scale)
