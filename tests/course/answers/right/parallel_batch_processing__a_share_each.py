def parallel_batch_processing(batch_data, operation, num_workers=4):
    numbered = list(enumerate(batch_data))
    results = [None] * len(numbered)

    def share(first):
        for index, item in numbered[first::num_workers]:
            try:
                results[index] = operation(item)
            except Exception as error:
                raise RuntimeError(f"item {index} raised") from error

    with ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(share, range(num_workers)))
    return results
