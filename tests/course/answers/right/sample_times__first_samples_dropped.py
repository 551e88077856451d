def sample_times(func, *args, repeats=20, warmup=2):
    times = np.empty(warmup + repeats)
    for place in range(times.size):
        start = time.perf_counter()
        func(*args)
        times[place] = time.perf_counter() - start
    return times[warmup:].tolist()
