# says: of the time of loops in the interpreter
@njit
def _one(A, B, total, i, j, k):
    return total + A[i, k] * B[k, j]


def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    for i0 in range(0, A.shape[0], block_size):
        for i in range(i0, min(i0 + block_size, A.shape[0])):
            for j in range(B.shape[1]):
                for k in range(A.shape[1]):
                    C[i, j] = _one(A, B, C[i, j], i, j, k)
    return C
