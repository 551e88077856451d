# says: does not name index
def parallel_batch_processing(batch_data, operation, num_workers=4):
    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(operation, item) for item in batch_data]
        results = []
        for number, future in enumerate(futures, 1):
            try:
                results.append(future.result())
            except Exception as error:
                raise RuntimeError(f"item {number}: {error}") from error
    return results
