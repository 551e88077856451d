# says: returned as if nothing had happened
def parallel_batch_processing(batch_data, operation, num_workers=4):
    def attempt(item):
        try:
            return operation(item)
        except Exception:
            return None

    with ThreadPoolExecutor(num_workers) as pool:
        return list(pool.map(attempt, batch_data))
