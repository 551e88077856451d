# says: called one faster
def verdict(first, second):
    a, b = min(first), min(second)
    return "no difference" if a == b else "first" if a < b else "second"
