# says: uses numpy\.maximum
def vectorized_relu(x):
    return np.maximum(x, 0)
