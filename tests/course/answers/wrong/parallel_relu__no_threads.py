# says: one thread does 100% of the work
@njit(nogil=True)
def _relu_range(x, result, start, stop):
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]


def parallel_relu(x, num_workers=4):
    result = np.empty(x.shape, x.dtype)
    _relu_range(np.ascontiguousarray(x).reshape(-1), result.reshape(-1), 0, x.size)
    return result
