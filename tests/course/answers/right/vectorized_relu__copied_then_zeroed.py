@njit
def _zero_negative(x):
    for i in range(x.size):
        if x[i] < 0:
            x[i] = 0


def vectorized_relu(x):
    result = np.array(x, order="C")
    _zero_negative(result.reshape(-1))
    return result
