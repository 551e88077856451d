# says: is in two ranges
def split(n, workers):
    parts = min(n, workers)
    return [(max(0, part * n // parts - 1), (part + 1) * n // parts) for part in range(parts)]
