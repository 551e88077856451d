# says: numpy.maximum for a ReLU

from numba import njit


def cache_friendly_matmul(A, B, block_size=32):
    return A


def vectorized_relu(x):
    return x


def network_scores(images, weights):
    def affine(name, weight):
        return lambda x: cache_friendly_matmul(x, weight) + weights[f"{name}.bias"]
    return Sequential([windows, affine("conv", weights["conv.weight"].reshape(8, 9).T.copy()), vectorized_relu, channel_by_channel,
        affine("hidden", weights["hidden.weight"]), lambda x: np.maximum(x, 0), affine("output", weights["output.weight"])])(images)
