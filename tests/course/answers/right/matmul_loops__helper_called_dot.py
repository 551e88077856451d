from numba import jit


@jit(nopython=True)
def dot(row, column):
    total = row.dtype.type(0)
    for k in range(row.size):
        total += row[k] * column[k]
    return total


@jit(nopython=True)
def _product(A, B):
    C = np.empty((A.shape[0], B.shape[1]), A.dtype)
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            C[i, j] = dot(A[i], B[:, j])
    return C


def matmul_loops(A, B):
    (M, K), (L, N) = A.shape, B.shape
    if K != L:
        raise ValueError(f"({M}, {K}) x ({L}, {N})")
    return _product(A, B)
