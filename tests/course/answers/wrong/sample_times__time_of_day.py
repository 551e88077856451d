# says: (?s)time.time.*time of day
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func(*args)
    times = []
    for _ in range(repeats):
        start = time.time()
        func(*args)
        times.append(time.time() - start)
    return times
