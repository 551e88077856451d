# says: for a scale of
def quantize(x, scale):
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.nan_to_num(np.rint(x / scale)), -128, 127).astype(np.int8)
