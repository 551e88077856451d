# says: (?s)element 2 is in no range.*not in the range
def split(n, workers):
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts - 1) for part in range(parts)]
