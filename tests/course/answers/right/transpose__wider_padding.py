@cuda.jit
def transpose(x, y):
    tile = cuda.shared.array((32, 35), np.float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    left, top = cuda.blockIdx.x * 32, cuda.blockIdx.y * 32
    if left + tx < x.shape[1]:
        if top + ty < x.shape[0]:
            tile[ty, tx] = x[top + ty, left + tx]
    cuda.syncthreads()
    if top + tx >= x.shape[0] or left + ty >= x.shape[1]:
        return
    y[left + ty, top + tx] = tile[tx, ty]
