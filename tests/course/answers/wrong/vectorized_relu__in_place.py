# says: changed its input number 1 in place
@njit
def _relu(x):
    for i in range(x.size):
        if x[i] < 0:
            x[i] = 0


def vectorized_relu(x):
    flat = x.reshape(-1)
    _relu(flat)
    return flat.reshape(x.shape)
