# says: anything between the two readings|alone took
def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func(*args)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        func(*args)
        times.append(time.process_time() - start)
    return times
