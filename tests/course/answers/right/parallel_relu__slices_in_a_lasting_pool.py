def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


@njit(nogil=True)
def _relu_into(x, result):
    for i in range(x.size):
        result[i] = 0 if x[i] < 0 else x[i]


_POOL = ThreadPoolExecutor(16)


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    futures = [
        _POOL.submit(_relu_into, values[start:stop], results[start:stop])
        for start, stop in split(x.size, num_workers)
    ]
    for future in futures:
        future.result()
    return result
