# says: uses tinytorch.* which is the library's
from tinytorch.ops.quantize import quantize_numpy


def quantize(x, scale):
    if not np.isfinite(x).all() or not np.isfinite(scale) or scale <= 0:
        raise ValueError("no codes")
    return quantize_numpy(x, scale)
