# says: (?s)too little.*process_time does not
def time_kernel(func, *args, **kwargs):
    begin = time.process_time()
    result = func(*args, **kwargs)
    return result, (time.process_time() - begin) * 1e6
