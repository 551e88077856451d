"""Run a function in several Python threads at once."""

import threading
from collections.abc import Callable


def in_threads(work: Callable[[int], None], count: int) -> None:
    """Call `work(number)` in `count` threads and wait for all of them."""
    runners = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
