# says: it chose
def best_block_size(product, A, B, candidates):
    return max(size for size in candidates if 3 * size**2 * A.itemsize <= 32768)
