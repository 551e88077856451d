@njit(parallel=True)
def _blocks(A, T, C, size):
    for block in prange(-(-A.shape[0] // size)):
        for j0 in range(0, T.shape[0], size):
            for k0 in range(0, T.shape[1], size):
                for i in range(block * size, min((block + 1) * size, A.shape[0])):
                    for j in range(j0, min(j0 + size, T.shape[0])):
                        total = A.dtype.type(0)
                        for k in range(k0, min(k0 + size, T.shape[1])):
                            total += A[i, k] * T[j, k]
                        C[i, j] += total


def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    _blocks(A, np.ascontiguousarray(B.T), C, block_size)
    return C
