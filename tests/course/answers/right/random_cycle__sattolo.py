def random_cycle(n, rng):
    successor = list(range(n))
    for i in range(n - 1, 0, -1):
        j = int(rng.integers(0, i))
        successor[i], successor[j] = successor[j], successor[i]
    return np.array(successor, np.int64)
