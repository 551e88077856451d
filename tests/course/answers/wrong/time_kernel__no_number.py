# says: the second value is nan, which is no time
def time_kernel(func, *args, **kwargs):
    return func(*args, **kwargs), float("nan")
