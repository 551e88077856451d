# says: nothing that vectorized_operations calls is compiled
def vectorized_operations(x, y):
    if x.shape != y.shape:
        raise ValueError(f"{x.shape} and {y.shape}")
    return {
        "element_wise_multiply": x * y,
        "element_wise_add": x + y,
        "squared_difference": (x - y) ** 2,
        "euclidean_distance": math.sqrt(((x - y) ** 2)),
        "dot_product": x * y,
    }
