# says: those are seconds
def time_kernel(func, *args, **kwargs):
    begin = time.perf_counter()
    result = func(*args, **kwargs)
    return result, (time.perf_counter() - begin)
