# says: never worked on at the same time
def parallel_batch_processing(batch_data, operation, num_workers=4):
    results = []
    for index, item in enumerate(batch_data):
        try:
            results.append(operation(item))
        except Exception as error:
            raise RuntimeError(f"item {index}: {error}") from error
    return results
