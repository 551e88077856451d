# says: a promise of a result

def parallel_batch_processing(batch_data, operation, num_workers=4):
    with ThreadPoolExecutor(num_workers) as pool:
        return [pool.submit(operation, d) for d in batch_data]
