# says: time\.time\(\) tells the time of day
def time_kernel(func, *args, **kwargs):
    begin = time.time()
    result = func(*args, **kwargs)
    return result, (time.time() - begin) * 1e6
