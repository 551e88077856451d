# says: is wrong in \d+ of
@njit
def _relu(x, result):
    for i in range(x.size - 1):
        result[i] = 0 if x[i] < 0 else x[i]


def vectorized_relu(x):
    result = np.empty(x.shape, x.dtype)
    _relu(np.ascontiguousarray(x).reshape(-1), result.reshape(-1))
    return result
