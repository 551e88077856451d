# says: (?s)it chose.*medians
def best_block_size(product, A, B, candidates):
    times = {}
    for size in candidates:
        product(A, B, block_size=size)
        begin = time.perf_counter()
        for _ in range(5):
            product(A, B, block_size=size)
        times[size] = (time.perf_counter() - begin) / 5
    return min(times, key=times.get)
