# says: uses numpy\.(add|multiply)
def vectorized_operations(x, y):
    return {
        "element_wise_multiply": np.multiply(x, y),
        "element_wise_add": np.add(x, y),
        "squared_difference": np.square(x - y),
        "euclidean_distance": np.linalg.norm(x - y),
        "dot_product": np.sum(x * y),
    }
