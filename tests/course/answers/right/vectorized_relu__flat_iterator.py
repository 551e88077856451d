@njit
def vectorized_relu(x):
    result = np.empty(x.shape, x.dtype)
    for i, value in np.ndenumerate(x):
        result[i] = x.dtype.type(0) if value < 0 else value
    return result
