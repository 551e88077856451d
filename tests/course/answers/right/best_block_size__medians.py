def best_block_size(product, A, B, candidates):
    times = {}
    for size in candidates:
        product(A, B, block_size=size)
        samples = []
        for _ in range(5):
            begin = time.perf_counter()
            product(A, B, block_size=size)
            samples.append(time.perf_counter() - begin)
        times[size] = statistics.median(samples)
    return min(times, key=times.get)
