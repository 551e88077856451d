# says: y after transpose
@cuda.jit
def transpose(x, y):
    i = cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x
    i = 1024 * i + 32 * cuda.threadIdx.y + cuda.threadIdx.x
    if i < x.size:
        y[i // y.shape[1], i % y.shape[1]] = x[i // x.shape[1], i % x.shape[1]]
