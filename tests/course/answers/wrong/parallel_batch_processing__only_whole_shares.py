# says: (?s)results for .* items|never worked on
def parallel_batch_processing(batch_data, operation, num_workers=4):
    length = len(batch_data) // num_workers
    shares = [batch_data[w * length : (w + 1) * length] for w in range(num_workers)]
    with ThreadPoolExecutor(num_workers) as pool:
        parts = list(pool.map(lambda share: [operation(item) for item in share], shares))
    return [result for part in parts for result in part]
