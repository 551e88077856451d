# says: for a scale of nan
def quantize(x, scale):
    if scale <= 0 or scale == np.inf:
        raise ValueError("scale must be positive")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.nan_to_num(np.rint(x / scale)), -128, 127).astype(np.int8)
