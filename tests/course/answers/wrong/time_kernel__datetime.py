# says: datetime.*time of day

import datetime
def time_kernel(func, *args, **kwargs):
    start = datetime.datetime.now()
    result = func(*args, **kwargs)
    return result, (datetime.datetime.now() - start).total_seconds() * 1e6
