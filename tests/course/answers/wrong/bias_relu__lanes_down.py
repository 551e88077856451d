# says: neighbouring lanes go to places \d+ bytes apart
@cuda.jit
def bias_relu(x, bias, y):
    c, r = cuda.grid(2)
    i = r * cuda.gridsize(2)[0] + c
    if i < x.size:
        c, r = i // x.shape[0], i % x.shape[0]
        v = x[r, c] + bias[c]
        y[r, c] = 0 if v < 0 else v
