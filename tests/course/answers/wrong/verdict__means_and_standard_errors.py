# says: misses it in
def verdict(first, second):
    apart = np.mean(first) - np.mean(second)
    error = np.sqrt(np.var(first, ddof=1) / len(first) + np.var(second, ddof=1) / len(second))
    if abs(apart) < 2.6 * error or error == 0:
        return "no difference"
    return "first" if apart < 0 else "second"
