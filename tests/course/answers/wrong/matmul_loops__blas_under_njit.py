# says: operator @
@njit
def _product(A, B):
    return A @ B


def matmul_loops(A, B):
    return _product(A, B)
