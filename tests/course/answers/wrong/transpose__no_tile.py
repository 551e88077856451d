# says: sectors a request where .* would do(?s:.*)a tile in shared memory turns
@cuda.jit
def transpose(x, y):
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        y[c, r] = x[r, c]
