# says: not a list of seconds
def _once(func, args):
    start = time.perf_counter()
    func(*args)
    return time.perf_counter() - start


import random


def interleaved(functions, *args, rounds=15):
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name in random.sample(list(functions), len(functions)):
            times[name].append(_once(functions[name], args))
    return {name: float(np.median(found)) for name, found in times.items()}
