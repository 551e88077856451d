# says: in two ranges|in no range|empty range
def split(n, workers):
    parts = min(n, workers)
    bounds = [part * n // parts for part in range(parts + 1)]
    return [(start, stop - start) for start, stop in zip(bounds, bounds[1:], strict=False)]
