def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


import threading
@njit(nogil=True, fastmath=False)
def _chunk(src, dst):
    for i in range(src.size):
        v = src[i]
        if v < 0:
            dst[i] = 0.0
        else:
            dst[i] = v
def parallel_relu(x: np.ndarray, num_workers: int = 4) -> np.ndarray:
    """Threads."""
    out = np.empty(x.shape, dtype=x.dtype)
    src, dst = np.ravel(x), out.reshape(-1)
    threads = []
    for start, stop in split(x.size, num_workers):
        thread = threading.Thread(target=_chunk, args=(src[start:stop], dst[start:stop]))
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join()
    return out
