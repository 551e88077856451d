# says: einsum
ways = {"fast": np.einsum}


def matmul_loops(A, B):
    return ways["fast"]("ik,kj->ij", A, B)
