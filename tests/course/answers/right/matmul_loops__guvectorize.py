from numba import guvectorize
@guvectorize(["void(float32[:,:], float32[:,:], float32[:,:])", "void(float64[:,:], float64[:,:], float64[:,:])"], "(m,k),(k,n)->(m,n)")
def gemm(A, B, C):
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            t = 0.0
            for k in range(A.shape[1]):
                t += A[i, k] * B[k, j]
            C[i, j] = t

def matmul_loops(A, B):
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"{A.shape=} {B.shape=}")
    return gemm(A, B)
