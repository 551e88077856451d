def best_block_size(product, A, B, candidates):
    samples = {size: [] for size in candidates}
    for turn in range(8):
        for size in candidates:
            begin = time.perf_counter()
            product(A, B, block_size=size)
            if turn:
                samples[size].append(time.perf_counter() - begin)
    return min(candidates, key=lambda size: np.median(samples[size]))
