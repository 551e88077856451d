# says: sample 0 is nan, which is no time
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup + repeats):
        func(*args)
    return np.full(repeats, np.nan)
