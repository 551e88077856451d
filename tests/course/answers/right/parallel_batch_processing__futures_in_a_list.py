def parallel_batch_processing(batch_data, operation, num_workers=4):
    results = []
    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(operation, item) for item in batch_data]
        for index, future in enumerate(futures):
            try:
                results.append(future.result())
            except Exception as error:
                raise RuntimeError(f"item {index} of {len(futures)}: {error}") from error
    return results
