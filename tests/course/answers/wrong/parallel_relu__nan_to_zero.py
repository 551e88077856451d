# says: NaN in x is wrong
def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = x[i] if x[i] > 0 else 0


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    with ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(lambda part: _relu_range(values, results, *part), split(x.size, num_workers)))
    return result
