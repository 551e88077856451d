# says: is a view of an array in C order only

@njit
def _m(x, y):
    for i in range(x.size):
        y[i] = 0 if x[i] < 0 else x[i]
def vectorized_relu(x):
    y = np.empty_like(x)
    _m(x.reshape(-1), y.reshape(-1))
    return y
