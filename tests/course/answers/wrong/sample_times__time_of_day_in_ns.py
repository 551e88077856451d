# says: time of day

def sample_times(func, *args, repeats=20, warmup=2):
    for _ in range(warmup):
        func(*args)
    out = []
    for _ in range(repeats):
        t = time.time_ns()
        func(*args)
        out.append((time.time_ns() - t) / 1e9)
    return out
