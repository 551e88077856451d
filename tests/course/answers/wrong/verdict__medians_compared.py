# says: of samples of one function against others of the same
def verdict(first, second):
    a, b = np.median(first), np.median(second)
    return "no difference" if a == b else "first" if a < b else "second"
