# says: does not name index
def parallel_batch_processing(batch_data, operation, num_workers=4):
    with ThreadPoolExecutor(num_workers) as pool:
        return list(pool.map(operation, batch_data))
