# says: (?s)of \[.*it chose.*warm up
def best_block_size(product, A, B, candidates):
    times = {}
    for size in candidates:
        begin = time.perf_counter()
        product(A, B, block_size=size)
        times[size] = time.perf_counter() - begin
    return min(times, key=times.get)
