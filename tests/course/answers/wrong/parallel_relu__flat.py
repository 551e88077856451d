# says: has shape
def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


def parallel_relu(x, num_workers=4):
    values = np.ascontiguousarray(x).reshape(-1)
    results = np.empty(values.shape, values.dtype)
    with ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(lambda part: _relu_range(values, results, *part), split(x.size, num_workers)))
    return results
