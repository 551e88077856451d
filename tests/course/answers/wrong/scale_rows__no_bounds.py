# says: (?s)out of bounds.*no element do nothing
@cuda.jit
def scale_rows(x, factors, y):
    c, r = cuda.grid(2)
    y[r, c] = x[r, c] * factors[r]
