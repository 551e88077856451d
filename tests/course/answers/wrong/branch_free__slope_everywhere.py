# says: slope \* x where x is negative
@cuda.jit
def branch_free(x, slope, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = slope * x[i]
