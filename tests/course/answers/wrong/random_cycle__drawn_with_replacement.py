# says: (?s)never comes back|comes back after
def random_cycle(n, rng):
    return rng.integers(0, n, n)
