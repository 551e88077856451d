# says: the last 2 of 10 elements are in no range
def split(n, workers):
    length = n // workers
    return [(w * length, (w + 1) * length) for w in range(workers) if length]
