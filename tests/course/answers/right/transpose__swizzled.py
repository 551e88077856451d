@cuda.jit
def transpose(x, y):
    tile = cuda.shared.array((32, 32), np.float32)
    i, j = cuda.threadIdx.x, cuda.threadIdx.y
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        tile[j, i ^ j] = x[r, c]
    cuda.syncthreads()
    row, col = 32 * cuda.blockIdx.x + j, 32 * cuda.blockIdx.y + i
    if row < y.shape[0] and col < y.shape[1]:
        y[row, col] = tile[i, i ^ j]
