# says: (?s)middle between two codes is wrong.*even
def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.floor(x / scale + 0.5), -128, 127).astype(np.int8)
