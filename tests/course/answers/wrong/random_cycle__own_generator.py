# says: (?s)one seed give different cycles
def random_cycle(n, rng):
    order = np.random.default_rng().permutation(n)
    successor = np.empty(n, np.int64)
    successor[order] = np.roll(order, 1)
    return successor
