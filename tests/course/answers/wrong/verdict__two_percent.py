# says: called one faster
def verdict(first, second):
    ratio = np.median(first) / np.median(second)
    return "first" if ratio < 0.98 else "second" if ratio > 1.02 else "no difference"
