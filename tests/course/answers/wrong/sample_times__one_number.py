# says: not a list of seconds
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func(*args)
    start = time.perf_counter()
    for _ in range(repeats):
        func(*args)
    return (time.perf_counter() - start) / repeats
