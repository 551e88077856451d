import functools
@functools.cache
def make():
    @njit
    def loops(A, B, C):
        for i in range(A.shape[0]):
            for j in range(B.shape[1]):
                s = 0.0
                for k in range(A.shape[1]):
                    s += A[i, k] * B[k, j]
                C[i, j] = s
    return loops
def matmul_loops(A, B):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} {B.shape}")
    C = np.empty((A.shape[0], B.shape[1]), A.dtype)
    make()(A, B, C)
    return C
