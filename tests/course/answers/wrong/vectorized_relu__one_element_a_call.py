# says: of the time of a loop in the interpreter
@njit
def _relu(value):
    return 0 if value < 0 else value


def vectorized_relu(x):
    result = np.empty(x.shape, x.dtype)
    for place in np.ndindex(x.shape):
        result[place] = _relu(x[place])
    return result
