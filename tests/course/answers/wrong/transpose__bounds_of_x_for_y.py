# says: (?s)read before written.*may have one of y|bounds of their own
@cuda.jit
def transpose(x, y):
    tile = cuda.shared.array((32, 33), np.float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    left, top = 32 * cuda.blockIdx.x, 32 * cuda.blockIdx.y
    inside = top + ty < x.shape[0] and left + tx < x.shape[1]
    if inside:
        tile[ty, tx] = x[top + ty, left + tx]
    cuda.syncthreads()
    if inside and left + ty < y.shape[0] and top + tx < y.shape[1]:
        y[left + ty, top + tx] = tile[tx, ty]
