# says: anything between the two readings
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func(*args)
    times = []
    for _ in range(repeats):
        func(*args)
        start = time.perf_counter()
        times.append(time.perf_counter() - start)
    return times
