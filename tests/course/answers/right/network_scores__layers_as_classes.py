@njit
def _product(A, B, C):
    for i in range(A.shape[0]):
        for k in range(A.shape[1]):
            for j in range(B.shape[1]):
                C[i, j] += A[i, k] * B[k, j]


def cache_friendly_matmul(A, B, block_size=32):
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    _product(A, B, C)
    return C


@njit
def _relu(x, y):
    for i in range(x.size):
        y[i] = 0 if x[i] < 0 else x[i]


def vectorized_relu(x):
    y = np.empty(x.shape, x.dtype)
    _relu(np.ascontiguousarray(x).reshape(-1), y.reshape(-1))
    return y


class Affine:
    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def __call__(self, x):
        return cache_friendly_matmul(np.asarray(x), self.weight, 16) + self.bias


def network_scores(images, weights):
    layers = [windows, Affine(np.moveaxis(weights["conv.weight"].reshape(8, 9), 0, 1), weights["conv.bias"])]
    layers += [vectorized_relu, channel_by_channel]
    layers += [Affine(weights["hidden.weight"], weights["hidden.bias"]), vectorized_relu]
    layers += [Affine(weights["output.weight"], weights["output.bias"])]
    return Sequential(layers)(images)
