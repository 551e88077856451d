def verdict(first, second):
    (low, high), (other_low, other_high) = (np.percentile(each, [25, 75]) for each in (first, second))
    if high < other_low:
        return "first"
    return "second" if other_high < low else "no difference"
