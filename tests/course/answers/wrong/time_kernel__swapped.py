# says: (?s)the first value is a number, the second what func returned.*first the result
def time_kernel(func, *args, **kwargs):
    begin = time.perf_counter()
    result = func(*args, **kwargs)
    return (time.perf_counter() - begin) * 1e6, result
