# says: uses numpy\.where
@njit
def vectorized_relu(x):
    return np.where(x < 0, 0 * x, x)
