# says: samples are in microseconds
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func(*args)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        func(*args)
        times.append((time.perf_counter() - start) * 1e6)
    return times
