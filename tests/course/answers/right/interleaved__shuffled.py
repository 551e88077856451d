def _once(func, args):
    start = time.perf_counter()
    func(*args)
    return time.perf_counter() - start


import random


def interleaved(functions, *args, rounds=15):
    times = {name: [] for name in functions}
    names = list(functions)
    for _ in range(rounds):
        random.shuffle(names)
        for name in names:
            times[name].append(_once(functions[name], args))
    return times
