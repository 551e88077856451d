# says: uses \.sum, which is someone else's loop
def vectorized_operations(x, y):
    if x.shape != y.shape:
        raise ValueError(f"{x.shape} and {y.shape}")
    return {
        "element_wise_multiply": x * y,
        "element_wise_add": x + y,
        "squared_difference": (x - y) ** 2,
        "euclidean_distance": ((x - y) ** 2).sum() ** 0.5,
        "dot_product": (x * y).sum(),
    }
