# says: numpy.maximum, which is someone else's loop
def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)

    def part(ends):
        np.maximum(values[slice(*ends)], 0, out=results[slice(*ends)])

    with ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(part, split(x.size, num_workers)))
    return result
