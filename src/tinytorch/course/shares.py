"""Which thread of a process does the work: CPU times of threads, looked at while it runs.

A pool that ends takes its threads' times with it, so they are read every few milliseconds.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

#: Seconds between two looks: a tick of the system's accounting is 10 ms.
_PAUSE = 0.01


@dataclass
class Seen:
    """CPU seconds of each thread."""

    first: dict[int, float] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)

    def look(self, threads: dict[int, float], at_start: bool = False) -> None:
        """Take in what the threads have used so far."""
        for number, seconds in threads.items():
            self.first.setdefault(number, seconds if at_start else 0.0)
            self.last[number] = seconds

    def busiest(self) -> float:
        """Return the busiest thread's part of all, from 0 to 1; 1 where nothing was used."""
        spent = [self.last[number] - self.first[number] for number in self.last]
        return max(spent) / sum(spent) if sum(spent) > 0 else 1.0


@contextlib.contextmanager
def watching(pid: int) -> Iterator[Seen]:
    """Look at the threads of a process while the block runs; a thread of this process looks.

    Raises psutil.Error where the system does not tell.
    """
    process, seen, over = psutil.Process(pid), Seen(), threading.Event()
    failed: list[psutil.Error] = []

    def read() -> dict[int, float]:
        return {thread.id: thread.user_time + thread.system_time for thread in process.threads()}

    def watch() -> None:
        mine = threading.get_native_id()
        try:
            while not over.wait(_PAUSE):
                seen.look({number: spent for number, spent in read().items() if number != mine})
        except psutil.Error as error:  # it has ended: told when the block ends
            failed.append(error)

    seen.look(read(), at_start=True)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
