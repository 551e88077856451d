# says: between and beyond the codes
def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.rint(x / scale).astype(np.int64).astype(np.int8)


def quantized_relu(x, scale=1.0):
    return (np.maximum(quantize(x, scale), 0) * np.float64(scale)).astype(np.float32)
