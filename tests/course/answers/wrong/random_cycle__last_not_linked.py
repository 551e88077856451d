# says: outside of 0 to|never comes back|comes back after
def random_cycle(n, rng):
    order = rng.permutation(n)
    successor = np.full(n, n, np.int64)
    successor[order[:-1]] = order[1:]
    return successor
