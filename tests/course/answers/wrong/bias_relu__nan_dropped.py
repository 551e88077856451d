# says: (?s)is wrong in 1 of .*so that NaN falls through
@cuda.jit
def bias_relu(x, bias, y):
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        v = x[r, c] + bias[c]
        y[r, c] = v if v > 0 else 0
