# says: (?s)comes back after \d+ steps?, should pass all.*several cycles
def random_cycle(n, rng):
    return rng.permutation(n).astype(np.int64)
