def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int8)


@njit
def _relu_of_codes(codes, scale, result):
    for i in range(codes.size):
        result[i] = np.float32(codes[i] * scale) if codes[i] > 0 else np.float32(0)


def quantized_relu(x, scale=1.0):
    codes = quantize(x, scale)
    result = np.empty(codes.size, np.float32)
    _relu_of_codes(codes.ravel(), np.float32(scale), result)
    return result.reshape(codes.shape)
