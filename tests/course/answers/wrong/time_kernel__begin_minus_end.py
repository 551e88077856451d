# says: negative time
def time_kernel(func, *args, **kwargs):
    begin = time.perf_counter()
    result = func(*args, **kwargs)
    return result, (begin - time.perf_counter()) * 1e6
