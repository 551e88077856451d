def time_kernel(func, *args, **kwargs):
    begin = time.perf_counter_ns()
    result = func(*args, **kwargs)
    return result, (time.perf_counter_ns() - begin) / 1000
