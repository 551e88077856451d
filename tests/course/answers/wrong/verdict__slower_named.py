# says: names the slower one
def verdict(first, second):
    ratios = np.log(np.asarray(first) / np.asarray(second))
    drawn = np.random.default_rng(0).integers(0, ratios.size, (1000, ratios.size))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), [0.5, 99.5])
    return "second" if high < 0 else "first" if low > 0 else "no difference"
