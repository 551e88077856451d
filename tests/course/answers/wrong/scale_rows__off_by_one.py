# says: out of bounds
@cuda.jit
def scale_rows(x, factors, y):
    c, r = cuda.grid(2)
    if r <= x.shape[0] and c < x.shape[1]:
        y[r, c] = x[r, c] * factors[r]
