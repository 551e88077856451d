@cuda.jit
def bias_relu(x, bias, y):
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        total = x[r, c] + bias[c]
        if total < 0:
            total = np.float32(0)
        y[r, c] = total
