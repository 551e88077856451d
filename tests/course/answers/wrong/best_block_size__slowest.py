# says: it chose
def best_block_size(product, A, B, candidates):
    times = {}
    for size in candidates:
        product(A, B, block_size=size)
        times[size] = statistics.median(_clock(product, A, B, size) for _ in range(5))
    return max(times, key=times.get)


def _clock(product, A, B, size):
    begin = time.perf_counter()
    product(A, B, block_size=size)
    return time.perf_counter() - begin
