# says: should be a dict with the keys
@njit
def _five(x, y, product, total, squared):
    distance = dot = x.dtype.type(0)
    for i in range(x.size):
        a, b = x[i], y[i]
        product[i] = a * b
        total[i] = a + b
        squared[i] = (a - b) * (a - b)
        distance += squared[i]
        dot += product[i]
    return distance, dot


def vectorized_operations(x, y):
    if x.shape != y.shape:
        raise ValueError(f"{x.shape} and {y.shape}")
    arrays = [np.empty(x.shape, x.dtype) for _ in range(3)]
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    distance, dot = _five(x.reshape(-1), y.reshape(-1), *(array.reshape(-1) for array in arrays))
    return {
        "element_wise_multiply": arrays[0],
        "element_wise_add": arrays[1],
        "squared_difference": arrays[2],
        "euclidean_distance": distance**0.5,
    }
