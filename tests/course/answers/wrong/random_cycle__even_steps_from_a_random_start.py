# says: (?s)steps go the same distance
def random_cycle(n, rng):
    order = np.roll(np.arange(n), int(rng.integers(n)))
    if n > 3:
        i, j = rng.integers(1, n - 1, 2)
        order[[i, j]] = order[[j, i]]
    successor = np.empty(n, np.int64)
    successor[order] = np.roll(order, -1)
    return successor
