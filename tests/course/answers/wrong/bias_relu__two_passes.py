# says: (?s)times over|reads y back
@cuda.jit
def bias_relu(x, bias, y):
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        y[r, c] = x[r, c] + bias[c]
    cuda.syncthreads()
    if r < x.shape[0] and c < x.shape[1]:
        y[r, c] = 0 if y[r, c] < 0 else y[r, c]
