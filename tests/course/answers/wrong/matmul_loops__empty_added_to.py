# says: (?s)(has NaN in|another result|again and again).*np\.empty
@njit
def _product(A, B, C):
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            for k in range(A.shape[1]):
                C[i, j] += A[i, k] * B[k, j]


def matmul_loops(A, B):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.empty((A.shape[0], B.shape[1]), A.dtype)
    _product(A, B, C)
    return C
