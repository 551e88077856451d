def split(n, workers):
    parts = np.array_split(np.arange(n), workers)
    return [(part[0], part[-1] + 1) for part in parts if part.size]
