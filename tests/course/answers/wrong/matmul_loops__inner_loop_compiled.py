# says: of the time of loops in the interpreter
@njit
def _times(a, b):
    return a * b


def matmul_loops(A, B):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape} and {B.shape}")
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            for k in range(A.shape[1]):
                C[i, j] += _times(A[i, k], B[k, j])
    return C
