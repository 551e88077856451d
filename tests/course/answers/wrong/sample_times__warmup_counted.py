# says: those of the warm-up are among them
def sample_times(func, *args, repeats=20, warmup=2):
    times = []
    for _ in range(warmup + repeats):
        start = time.perf_counter()
        func(*args)
        times.append(time.perf_counter() - start)
    return times
