# says: sectors a request where .* would do: neighbouring lanes go to places \d+ bytes apart
@cuda.jit
def scale_rows(x, factors, y):
    r, c = cuda.grid(2)
    while r < x.shape[0]:
        k = c
        while k < x.shape[1]:
            y[r, k] = x[r, k] * factors[r]
            k += cuda.gridsize(2)[1]
        r += cuda.gridsize(2)[0]
