# says: (?s)lengths from 2 to [45].*wait for the longest
def split(n, workers):
    parts = min(n, workers)
    starts = [part * (n // parts) for part in range(parts)]
    return list(zip(starts, [*starts[1:], n], strict=True))
