@njit
def random_cycle(n, rng):
    s = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = rng.integers(0, i)
        s[i], s[j] = s[j], s[i]
    return s
