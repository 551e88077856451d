@njit
def _code(value, scale):
    return np.int32(min(max(np.rint(value / scale), -128), 127))


@njit
def _kernel(A, B, scale_A, scale_B):
    codes = np.empty(B.shape, np.int8)
    for k in range(B.shape[0]):
        for j in range(B.shape[1]):
            codes[k, j] = _code(B[k, j], scale_B)
    result = np.empty((A.shape[0], B.shape[1]), np.float32)
    sums = np.empty(B.shape[1], np.int32)
    for i in range(A.shape[0]):
        sums[:] = 0
        for k in range(A.shape[1]):
            code = _code(A[i, k], scale_A)
            for j in range(B.shape[1]):
                sums[j] += code * codes[k, j]
        for j in range(B.shape[1]):
            result[i, j] = sums[j] * (scale_A * scale_B)
    return result


def quantized_matmul(A, B, scale_A=1.0, scale_B=1.0):
    if A.ndim != 2 or B.ndim != 2 or A.shape[1] != B.shape[0]:
        raise ValueError(f"cannot multiply {A.shape} by {B.shape}")
    for scale in (scale_A, scale_B):
        if not 0 < scale < float("inf"):
            raise ValueError(f"bad scale {scale}")
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        raise ValueError("NaN or inf in the data")
    return _kernel(A, B, float(scale_A), float(scale_B))
