# says: (?s)called func .* times, should be
def sample_times(func, *args, repeats=20, warmup=2):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        func(*args)
        times.append(time.perf_counter() - start)
    return times
