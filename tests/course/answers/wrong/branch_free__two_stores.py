# says: (?s)lanes part at .* branches.*of 32 lanes are at work.*choose one, and store once
@cuda.jit
def branch_free(x, slope, y):
    i = cuda.grid(1)
    if i < x.size:
        if x[i] < 0:
            y[i] = slope * x[i]
        else:
            y[i] = x[i]
