# says: (?s)different seeds give the same
def random_cycle(n, rng):
    return (np.arange(n, dtype=np.int64) + 1) % n
