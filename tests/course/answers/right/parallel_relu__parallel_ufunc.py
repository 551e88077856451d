from numba import vectorize
@vectorize(["float32(float32)", "float64(float64)"], target="parallel")
def k(v):
    return 0.0 if v < 0 else v
def parallel_relu(x, num_workers=4):
    return k(x)
