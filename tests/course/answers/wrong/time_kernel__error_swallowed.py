# says: should raise ArithmeticError
def time_kernel(func, *args, **kwargs):
    begin = time.perf_counter()
    try:
        result = func(*args, **kwargs)
    except Exception:
        result = None
    return result, (time.perf_counter() - begin) * 1e6
