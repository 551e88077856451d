def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    if not np.isfinite(x).all():
        raise ValueError("x has NaN or infinity in it")
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int8)


@njit
def _product(a, b, sums):
    block = 64
    for first in range(0, a.shape[1], block):
        last = min(first + block, a.shape[1])
        for i in range(a.shape[0]):
            for k in range(first, last):
                code = np.int32(a[i, k])
                for j in range(b.shape[1]):
                    sums[i, j] += code * np.int32(b[k, j])


def quantized_matmul(A, B, scale_A=1.0, scale_B=1.0):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"shapes {A.shape} and {B.shape} do not fit")
    sums = np.zeros((A.shape[0], B.shape[1]), np.int32)
    _product(quantize(A, scale_A), quantize(B, scale_B), sums)
    return (sums * (scale_A * scale_B)).astype(np.float32)
