# says: lanes part
@cuda.jit
def branch_free(x, slope, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i]
        if x[i] < 0:
            y[i] = slope * x[i]
