def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    *others, mine = split(x.size, num_workers) or [(0, 0)]
    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(_relu_range, values, results, *part) for part in others]
        _relu_range(values, results, *mine)
        for future in futures:
            future.result()
    return result
