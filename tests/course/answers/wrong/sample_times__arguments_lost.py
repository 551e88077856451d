# says: Hand \*args on
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        func()
        times.append(time.perf_counter() - start)
    return times
