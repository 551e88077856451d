# says: is int8, should be float32
def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int8)


def quantized_relu(x, scale=1.0):
    return np.maximum(quantize(x, scale), 0)
