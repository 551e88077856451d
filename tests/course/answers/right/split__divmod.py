def split(n, workers):
    length, left = divmod(n, workers)
    ranges, start = [], 0
    for worker in range(min(n, workers)):
        stop = start + length + (worker < left)
        ranges.append((start, stop))
        start = stop
    return ranges
