def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


_POOL = ThreadPoolExecutor(8)
@njit(nogil=True)
def k(a, b):
    for i in range(a.size):
        b[i] = 0 if a[i] < 0 else a[i]
def parallel_relu(x, num_workers=4):
    out = np.empty(x.size, x.dtype)
    flat = x.reshape(-1)
    for f in [_POOL.submit(k, flat[a:b], out[a:b]) for a, b in split(x.size, num_workers)]:
        f.result()
    return out.reshape(x.shape)
