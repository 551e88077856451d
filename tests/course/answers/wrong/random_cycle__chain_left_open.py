# says: never comes back|random_cycle\(1, rng\) raised|comes back after

def random_cycle(n, rng):
    s = np.zeros(n, np.int64)
    order = rng.permutation(np.arange(1, n))
    s[0] = order[0]
    for a, b in zip(order, order[1:]):
        s[a] = b
    return s
