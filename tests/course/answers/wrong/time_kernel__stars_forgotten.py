# says: the tuple of all arguments

def time_kernel(func, *args, **kwargs):
    start = time.perf_counter()
    result = func(args, kwargs)
    return result, (time.perf_counter() - start) * 1e6
