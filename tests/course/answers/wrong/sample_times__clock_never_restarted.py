# says: Does the clock start anew
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func(*args)
    times = []
    start = time.perf_counter()
    for _ in range(repeats):
        func(*args)
        times.append(time.perf_counter() - start)
    return times
