# says: called 2 times, should be called once
def time_kernel(func, *args, **kwargs):
    begin = time.perf_counter()
    func(*args, **kwargs)
    end = time.perf_counter()
    return func(*args, **kwargs), (end - begin) * 1e6
