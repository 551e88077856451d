# says: time_ns\(\) tells the time of day

def time_kernel(func, *args, **kwargs):
    start = time.time_ns()
    result = func(*args, **kwargs)
    return result, (time.time_ns() - start) / 1e3
