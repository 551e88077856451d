# says: (?s)(has NaN in|another result|again and again).*np\.empty
@njit
def _blocks(A, B, C, size):
    M, K = A.shape
    N = B.shape[1]
    for i0 in range(0, M, size):
        for j0 in range(0, N, size):
            for k0 in range(0, K, size):
                for i in range(i0, min(i0 + size, M)):
                    for j in range(j0, min(j0 + size, N)):
                        total = C[i, j]
                        for k in range(k0, min(k0 + size, K)):
                            total += A[i, k] * B[k, j]
                        C[i, j] = total


def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.empty((A.shape[0], B.shape[1]), A.dtype)
    _blocks(A, B, C, block_size)
    return C
