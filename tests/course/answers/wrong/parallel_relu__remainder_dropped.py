# says: (?s)values, num_workers=4 is wrong in [123] of .*in one worker.s range
@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


def parallel_relu(x, num_workers=4):
    result = np.full(x.shape, -1, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    length = x.size // num_workers
    with ThreadPoolExecutor(num_workers) as pool:
        for w in range(num_workers):
            pool.submit(_relu_range, values, results, w * length, (w + 1) * length)
    return result
