# says: should be one of
def verdict(first, second):
    return "first is faster" if np.median(first) < np.median(second) else "second is faster"
