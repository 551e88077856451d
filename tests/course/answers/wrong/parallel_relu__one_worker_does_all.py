# says: (?s)one thread does .* of the work
@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    with ThreadPoolExecutor(num_workers) as pool:
        pool.submit(_relu_range, values, results, 0, x.size).result()
    return result
