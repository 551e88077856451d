# says: (?s)between and beyond the codes.*Quantize first
def quantized_relu(x, scale=1.0):
    if not (np.isfinite(x).all() and 0 < scale < np.inf):
        raise ValueError("NaN, infinity or a bad scale")
    return np.maximum(x, 0).astype(np.float32)
