# says: Rounds outside, functions inside
def _once(func, args):
    start = time.perf_counter()
    func(*args)
    return time.perf_counter() - start


def interleaved(functions, *args, rounds=15):
    return {name: [_once(func, args) for _ in range(rounds)] for name, func in functions.items()}
