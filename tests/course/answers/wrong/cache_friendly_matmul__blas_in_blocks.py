# says: operator @
@njit
def _blocks(A, B, C, size):
    M, K = A.shape
    N = B.shape[1]
    for i0 in range(0, M, size):
        for j0 in range(0, N, size):
            for k0 in range(0, K, size):
                C[i0 : i0 + size, j0 : j0 + size] += A[i0 : i0 + size, k0 : k0 + size] @ B[k0 : k0 + size, j0 : j0 + size]


def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    _blocks(A, B, C, block_size)
    return C
