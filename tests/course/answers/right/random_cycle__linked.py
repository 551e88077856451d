def random_cycle(n, rng):
    order = rng.permutation(n)
    successor = np.empty(n, np.int64)
    successor[order] = np.roll(order, 1)
    return successor
