# says: Every product of this network is to be your own
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


from tinytorch.core.layers import Dense
from tinytorch.core.tensor import Tensor


def network_scores(images, weights):
    def affine(name, weight):
        return lambda x: cache_friendly_matmul(x, weight) + weights[f"{name}.bias"]

    taps = weights["conv.weight"].reshape(8, 9).T
    output = Dense(64, 10)
    output.weights, output.bias = Tensor(weights["output.weight"]), Tensor(weights["output.bias"])
    return Sequential(
        [
            windows,
            affine("conv", taps),
            vectorized_relu,
            channel_by_channel,
            affine("hidden", weights["hidden.weight"]),
            vectorized_relu,
            output,
        ]
    )(images)
