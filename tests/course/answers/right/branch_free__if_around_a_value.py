@cuda.jit
def branch_free(x, slope, y):
    i = cuda.grid(1)
    if i < x.size:
        v = x[i]
        if v < 0:
            v = v * slope
        y[i] = v
