@cuda.jit
def branch_free(x, slope, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = max(x[i], 0) + slope * min(x[i], 0)
