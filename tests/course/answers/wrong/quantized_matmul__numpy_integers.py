# says: someone else|operator @
def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int8)


def quantized_matmul(A, B, scale_A=1.0, scale_B=1.0):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"shapes {A.shape} and {B.shape} do not fit")
    sums = np.dot(quantize(A, scale_A).astype(np.int32), quantize(B, scale_B).astype(np.int32))
    return (sums * scale_A * scale_B).astype(np.float32)
