def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


import threading


@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    threads = [
        threading.Thread(target=_relu_range, args=(values, results, start, stop))
        for start, stop in split(x.size, num_workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result
