@njit(parallel=True)
def _relu(x, result):
    for i in prange(x.size):
        result[i] = max(x[i], 0) if x[i] == x[i] else x[i]


def vectorized_relu(x):
    result = np.empty(x.shape, x.dtype)
    _relu(np.ascontiguousarray(x).reshape(-1), result.reshape(-1))
    return result
