@cuda.jit
def transpose(source, target):
    tile = cuda.shared.array((32, 33), np.float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    c, r = cuda.grid(2)
    if r < source.shape[0] and c < source.shape[1]:
        tile[tx, ty] = source[r, c]
    cuda.syncthreads()
    c, r = cuda.blockIdx.y * 32 + tx, cuda.blockIdx.x * 32 + ty
    if r < target.shape[0] and c < target.shape[1]:
        target[r, c] = tile[ty, tx]
