def _relu(x, result):
    for i in range(len(x)):
        value = x[i]
        result[i] = value if value > 0 or value != value else 0


_compiled = njit(_relu)


def vectorized_relu(x):
    result = np.zeros_like(x, order="C")
    _compiled(x.ravel(), result.ravel())
    return result
