# says: raised AssertionError.*should raise ValueError
@njit
def _product(A, B, C):
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            total = A.dtype.type(0)
            for k in range(A.shape[1]):
                total += A[i, k] * B[k, j]
            C[i, j] = total


def matmul_loops(A, B):
    assert A.shape[1] == B.shape[0]
    C = np.empty((A.shape[0], B.shape[1]), A.dtype)
    _product(A, B, C)
    return C
