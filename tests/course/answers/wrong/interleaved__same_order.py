# says: same order in every round
def _once(func, args):
    start = time.perf_counter()
    func(*args)
    return time.perf_counter() - start


def interleaved(functions, *args, rounds=15):
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, func in functions.items():
            times[name].append(_once(func, args))
    return times
