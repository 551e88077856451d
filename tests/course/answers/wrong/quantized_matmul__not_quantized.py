# says: (?s)between the codes is wrong.*Quantize both
def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int8)


@njit
def _product(a, b, sums):
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                sums[i, j] += a[i, k] * b[k, j]


def quantized_matmul(A, B, scale_A=1.0, scale_B=1.0):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"shapes {A.shape} and {B.shape} do not fit")
    sums = np.zeros((A.shape[0], B.shape[1]), np.float64)
    _product(A / np.float32(scale_A), B / np.float32(scale_B), sums)
    return (sums * (scale_A * scale_B)).astype(np.float32)
