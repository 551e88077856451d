# says: uses \.dot
@njit
def _blocks(A, B, C, size):
    M, K = A.shape
    N = B.shape[1]
    for i0 in range(0, M, size):
        for j0 in range(0, N, size):
            for k0 in range(0, K, size):
                for i in range(i0, min(i0 + size, M)):
                    for j in range(j0, min(j0 + size, N)):
                        C[i, j] += A[i, k0 : k0 + size].dot(B[k0 : k0 + size, j])


def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    _blocks(A, B, C, block_size)
    return C
