# says: (?s)should return one of the candidates.*neither
def best_block_size(product, A, B, candidates):
    times = []
    for size in candidates:
        product(A, B, block_size=size)
        begin = time.perf_counter()
        product(A, B, block_size=size)
        times.append(time.perf_counter() - begin)
    return int(np.argmin(times))
