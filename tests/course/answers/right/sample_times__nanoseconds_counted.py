def sample_times(func, *args, repeats=20, warmup=2):
    def once():
        start = time.perf_counter_ns()
        func(*args)
        return (time.perf_counter_ns() - start) / 1e9

    for _ in range(warmup):
        func(*args)
    return [once() for _ in range(repeats)]
