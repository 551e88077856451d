# says: never worked on at the same time
def parallel_batch_processing(batch_data, operation, num_workers=4):
    with ThreadPoolExecutor(num_workers) as pool:
        return [pool.submit(operation, item).result() for item in batch_data]
