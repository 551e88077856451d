# says: that call alone took|times what the calls took|anything between
def _once(func, args):
    start = time.perf_counter()
    func(*args)
    return time.perf_counter() - start


import random


def interleaved(functions, *args, rounds=15):
    times = {name: [] for name in functions}
    for _ in range(rounds):
        order = list(functions.values())
        random.shuffle(order)
        for name, func in zip(functions, order):
            times[name].append(_once(func, args))
    return times
