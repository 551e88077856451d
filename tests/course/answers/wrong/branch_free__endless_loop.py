# says: Does every loop end
@cuda.jit
def branch_free(x, slope, y):
    i = cuda.grid(1)
    while i < x.size:
        v = x[i]
        y[i] = slope * v if v < 0 else v
