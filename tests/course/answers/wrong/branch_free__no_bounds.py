# says: out of bounds
@cuda.jit
def branch_free(x, slope, y):
    i = cuda.grid(1)
    v = x[i]
    y[i] = slope * v if v < 0 else v
