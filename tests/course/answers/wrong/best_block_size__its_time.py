# says: should return one of the candidates
def best_block_size(product, A, B, candidates):
    best = 1e9
    for size in candidates:
        begin = time.perf_counter()
        product(A, B, block_size=size)
        best = min(best, time.perf_counter() - begin)
    return best
