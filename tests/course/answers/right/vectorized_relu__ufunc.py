from numba import vectorize


@vectorize(["float32(float32)", "float64(float64)"])
def _relu(value):
    return 0 if value < 0 else value


def vectorized_relu(x):
    return _relu(x)
