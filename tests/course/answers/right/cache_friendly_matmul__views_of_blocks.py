@njit
def mul_add(a, b, c):
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
@njit
def cache_friendly_matmul(A, B, block_size=32):
    m, k = A.shape
    k2, n = B.shape
    if k != k2:
        raise ValueError("shapes", A.shape, B.shape)
    C = np.zeros((m, n), A.dtype)
    for i in range(0, m, block_size):
        for j in range(0, n, block_size):
            for p in range(0, k, block_size):
                mul_add(A[i:i + block_size, p:p + block_size], B[p:p + block_size, j:j + block_size], C[i:i + block_size, j:j + block_size])
    return C
