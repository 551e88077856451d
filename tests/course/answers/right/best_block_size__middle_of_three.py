def time_kernel(func, *args, **kwargs):
    start = time.perf_counter()
    result = func(*args, **kwargs)
    return result, 1e6 * (time.perf_counter() - start)


def best_block_size(product, A, B, candidates):
    best, best_time = None, float("inf")
    for c in candidates:
        product(A, B, block_size=c)
        t = sorted(time_kernel(product, A, B, block_size=c)[1] for _ in range(3))[1]
        if t < best_time:
            best, best_time = c, t
    return best
