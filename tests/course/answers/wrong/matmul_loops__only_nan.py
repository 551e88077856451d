# says: has NaN in \d+ of \d+ values
@njit
def loops(A, B, C):
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            for k in range(A.shape[1]):
                C[i, j] += A[i, k] * B[k, j]


def matmul_loops(A, B):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.full((len(A), B.shape[1]), np.nan, A.dtype)
    loops(A, B, C)
    return C
