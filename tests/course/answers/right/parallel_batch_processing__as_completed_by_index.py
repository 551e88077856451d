from concurrent.futures import as_completed


class ItemError(Exception):
    pass


def parallel_batch_processing(batch_data, operation, num_workers=4):
    items = list(batch_data)
    results = [None] * len(items)
    with ThreadPoolExecutor(max_workers=num_workers) as pool:
        places = {pool.submit(operation, item): index for index, item in enumerate(items)}
        for future in as_completed(places):
            error = future.exception()
            if error is not None:
                raise ItemError(f"batch_data[{places[future]}]") from error
            results[places[future]] = future.result()
    return results
