# says: y is written with .* sectors a request
@cuda.jit
def transpose(x, y):
    tile = cuda.shared.array((32, 33), np.float32)
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        tile[cuda.threadIdx.y, cuda.threadIdx.x] = x[r, c]
    cuda.syncthreads()
    if r < x.shape[0] and c < x.shape[1]:
        y[c, r] = tile[cuda.threadIdx.y, cuda.threadIdx.x]
