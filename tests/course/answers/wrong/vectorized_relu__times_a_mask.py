# says: (?s)with infinities.*-inf \* 0
@njit
def _relu(x, result):
    for i in range(x.size):
        result[i] = x[i] * (x[i] > 0)


def vectorized_relu(x):
    result = np.empty(x.shape, x.dtype)
    _relu(np.ascontiguousarray(x).reshape(-1), result.reshape(-1))
    return result
