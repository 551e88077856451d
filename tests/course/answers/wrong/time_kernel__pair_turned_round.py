# says: first value .* should be what func returned
def time_kernel(func, *args, **kwargs):
    begin = time.perf_counter()
    result = func(*args, **kwargs)
    return (time.perf_counter() - begin) * 1e6, 0.0
