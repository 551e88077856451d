import queue
import threading


def parallel_batch_processing(batch_data, operation, num_workers=4):
    waiting, results, errors = queue.SimpleQueue(), [None] * len(batch_data), {}
    for numbered in enumerate(batch_data):
        waiting.put(numbered)

    def work():
        while True:
            try:
                index, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[index] = operation(item)
            except Exception as error:
                errors[index] = error

    threads = [threading.Thread(target=work) for _ in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        index = min(errors)
        raise RuntimeError(f"item {index}") from errors[index]
    return results
