@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


_CHUNK = 1 << 16


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    with ThreadPoolExecutor(num_workers) as pool:
        for start in range(0, x.size, _CHUNK):
            pool.submit(_relu_range, values, results, start, min(start + _CHUNK, x.size))
    return result
