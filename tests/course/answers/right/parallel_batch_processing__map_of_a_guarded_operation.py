def parallel_batch_processing(batch_data, operation, num_workers=4):
    def guarded(numbered):
        index, item = numbered
        try:
            return operation(item)
        except Exception as error:
            raise ValueError(f"item number {index} failed") from error

    with ThreadPoolExecutor(num_workers) as pool:
        return list(pool.map(guarded, enumerate(batch_data)))
