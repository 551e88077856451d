def _once(func, args):
    start = time.perf_counter()
    func(*args)
    return time.perf_counter() - start


def interleaved(functions, *args, rounds=15):
    times = {name: [] for name in functions}
    for func in functions.values():
        for _ in range(2):
            func(*args)
    names = list(functions)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(_once(functions[name], args))
    return times
