# says: of one dimension raised TypingError

@njit
def vectorized_relu(x):
    y = np.empty(x.shape, x.dtype)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = 0 if x[i, j] < 0 else x[i, j]
    return y
