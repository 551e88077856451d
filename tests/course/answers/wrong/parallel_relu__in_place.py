# says: changed its input number 1 in place
def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


def parallel_relu(x, num_workers=4):
    values = x.reshape(-1)
    with ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(lambda part: _relu_range(values, values, *part), split(x.size, num_workers)))
    return x
