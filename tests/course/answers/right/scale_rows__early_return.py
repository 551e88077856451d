@cuda.jit
def scale_rows(x, factors, y):
    r = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    c = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if r >= x.shape[0] or c >= x.shape[1]:
        return
    y[r, c] = x[r, c] * factors[r]
