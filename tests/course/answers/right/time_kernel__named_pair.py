import collections
import timeit
import gc
Timed = collections.namedtuple("Timed", "result us")
def time_kernel(func, *args, **kwargs):
    gc.disable()
    try:
        start = timeit.default_timer()
        result = func(*args, **kwargs)
        end = timeit.default_timer()
    finally:
        gc.enable()
    return Timed(result, round((end - start) * 10**6))
