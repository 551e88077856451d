# says: uses getattr, which hides
def matmul_loops(A, B):
    return getattr(np, "do" + "t")(A, B)
