# says: misses it in|called one faster
def verdict(first, second):
    ratio = np.median(first) / np.median(second)
    return "first" if ratio < 0.9 else "second" if ratio > 1 / 0.9 else "no difference"
