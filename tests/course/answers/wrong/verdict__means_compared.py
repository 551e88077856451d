# says: called one faster
def verdict(first, second):
    if np.mean(first) == np.mean(second):
        return "no difference"
    return "first" if np.mean(first) < np.mean(second) else "second"
