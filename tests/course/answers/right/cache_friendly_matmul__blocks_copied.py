@njit
def _one(a, b, c):
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


@njit
def _blocks(A, B, C, n):
    for k in range(0, A.shape[1], n):
        for j in range(0, B.shape[1], n):
            b = B[k : k + n, j : j + n].copy()
            for i in range(0, A.shape[0], n):
                _one(A[i : i + n, k : k + n].copy(), b, C[i : i + n, j : j + n])


def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    _blocks(A, B, C, block_size)
    return C
