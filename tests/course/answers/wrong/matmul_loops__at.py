# says: operator @
def matmul_loops(A, B):
    return A @ B
