# says: (?s)which 32 does not divide.* is wrong in
@cuda.jit
def transpose(x, y):
    tile = cuda.shared.array((32, 33), np.float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    left, top = 32 * cuda.blockIdx.x, 32 * cuda.blockIdx.y
    if top + 32 <= x.shape[0] and left + 32 <= x.shape[1]:
        tile[ty, tx] = x[top + ty, left + tx]
        cuda.syncthreads()
        y[left + ty, top + tx] = tile[tx, ty]
