# says: run one after the other count as one

def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


import threading
@njit(nogil=True)
def part(x, y, a, b):
    for i in range(a, b):
        y[i] = 0 if x[i] < 0 else x[i]
def parallel_relu(x, num_workers=4):
    y = np.empty(x.shape, x.dtype)
    fx, fy = np.ascontiguousarray(x).reshape(-1), y.reshape(-1)
    for a, b in split(x.size, num_workers):
        t = threading.Thread(target=part, args=(fx, fy, a, b))
        t.start()
        t.join()
    return y
