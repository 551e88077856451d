def verdict(first, second):
    rng = np.random.default_rng()
    medians = [
        np.median(rng.choice(samples, (2000, len(samples))), axis=1) for samples in (first, second)
    ]
    low, high = np.percentile(medians[0] / medians[1], [0.5, 99.5])
    if low <= 1 <= high:
        return "no difference"
    return "first" if high < 1 else "second"
