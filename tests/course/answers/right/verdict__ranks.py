def verdict(first, second):
    first, second = np.asarray(first)[:, None], np.asarray(second)
    n, m = first.size, second.size
    wins = np.sum(first < second) + np.sum(first == second) / 2
    z = (wins - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)
    return "no difference" if abs(z) < 2.58 else "first" if z > 0 else "second"
