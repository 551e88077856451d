# says: not in the order of the items
def parallel_batch_processing(batch_data, operation, num_workers=4):
    results = []
    with ThreadPoolExecutor(num_workers) as pool:
        for item in batch_data:
            pool.submit(lambda item: results.append(operation(item)), item)
    return results
