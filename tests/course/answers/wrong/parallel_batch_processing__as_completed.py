# says: not in the order of the items
from concurrent.futures import as_completed


def parallel_batch_processing(batch_data, operation, num_workers=4):
    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(operation, item) for item in batch_data]
        return [future.result() for future in as_completed(futures)]
