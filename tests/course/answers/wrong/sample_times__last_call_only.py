# says: no two calls took as long
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup + repeats):
        start = time.perf_counter()
        func(*args)
        last = time.perf_counter() - start
    return [last] * repeats
