# says: some more than once|samples, should be
def _once(func, args):
    start = time.perf_counter()
    func(*args)
    return time.perf_counter() - start


import random


def interleaved(functions, *args, rounds=15):
    times = {name: [] for name in functions}
    for _ in range(rounds * len(functions)):
        name = random.choice(list(functions))
        times[name].append(_once(functions[name], args))
    return times
