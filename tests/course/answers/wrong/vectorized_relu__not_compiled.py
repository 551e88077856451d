# says: nothing that vectorized_relu calls is compiled
def _relu(x, result):
    for i in range(x.size):
        result[i] = 0 if x[i] < 0 else x[i]


def vectorized_relu(x):
    result = np.empty(x.shape, x.dtype)
    _relu(np.ascontiguousarray(x).reshape(-1), result.reshape(-1))
    return result
