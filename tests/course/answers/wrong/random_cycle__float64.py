# says: is float64, should be int64
def random_cycle(n, rng):
    order = rng.permutation(n)
    successor = np.empty(n)
    successor[order] = np.roll(order, 1)
    return successor
