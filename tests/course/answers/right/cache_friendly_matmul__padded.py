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
    (M, K), N = A.shape, B.shape[1]
    up = lambda n: -(-n // block_size) * block_size
    A, B = np.pad(A, ((0, up(M) - M), (0, up(K) - K))), np.pad(B, ((0, up(K) - K), (0, up(N) - N)))
    C = np.zeros((up(M), up(N)), A.dtype)
    _blocks(A, B, C, block_size)
    return C[:M, :N].copy()
