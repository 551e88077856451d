# says: there is an empty range
def split(n, workers):
    return [(part * n // workers, (part + 1) * n // workers) for part in range(workers)]
