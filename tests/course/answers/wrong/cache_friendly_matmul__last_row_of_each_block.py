# says: the last place of each block is left out

@njit
def kern(A, B, C, bs):
    M, K = A.shape
    N = B.shape[1]
    for ii in range(0, M, bs):
        for kk in range(0, K, bs):
            for jj in range(0, N, bs):
                for i in range(ii, min(ii + bs - 1, M)):
                    for k in range(kk, min(kk + bs, K)):
                        for j in range(jj, min(jj + bs, N)):
                            C[i, j] += A[i, k] * B[k, j]
def cache_friendly_matmul(A, B, block_size=32):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"inner dimensions differ: {A.shape} {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), dtype=A.dtype)
    kern(A, B, C, block_size)
    return C
