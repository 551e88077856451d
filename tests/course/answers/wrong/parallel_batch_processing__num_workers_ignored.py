# says: (?s)with num_workers=1, .* items were worked on at once
def parallel_batch_processing(batch_data, operation, num_workers=4):
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(operation, item) for item in batch_data]
        results = []
        for index, future in enumerate(futures):
            try:
                results.append(future.result())
            except Exception as error:
                raise RuntimeError(f"item {index}: {error}") from error
    return results
