@njit
def _blocks(A, B, C, size):
    for k0 in range(0, A.shape[1], size):
        for j0 in range(0, B.shape[1], size):
            for i in range(A.shape[0]):
                result = C[i, j0 : j0 + size]
                for k in range(k0, min(k0 + size, A.shape[1])):
                    row = B[k, j0 : j0 + size]
                    for j in range(row.size):
                        result[j] += A[i, k] * row[j]


def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    _blocks(A, B, C, block_size)
    return C
