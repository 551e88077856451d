# says: by one lane of 32 at a time|one thread do what belongs to all
@cuda.jit
def scale_rows(x, factors, y):
    c, r = cuda.grid(2)
    if c == 0 and r == 0:
        for r in range(x.shape[0]):
            for c in range(x.shape[1]):
                y[r, c] = x[r, c] * factors[r]
