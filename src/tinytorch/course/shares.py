"""How the threads of this process share work: which does most of it, and whether they hold the GIL meanwhile.

A pool made in each call takes its threads with it, so a profile function in each new thread (a hook of the
`threading` module) keeps what it saw; for threads that live on, the system tells. Threads of which one begins
when another has ended take turns: they are taken for one.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import psutil

#: Seconds between two turns of the thread that asks for the GIL. A call of 10 ms has room for ten of them.
_PAUSE = 0.0005
#: Seconds within which a thread that has ended is gone from the system's list, too.
_GONE = 0.03


def busiest(call: Callable[[], Any], seconds: float) -> float:
    """Call again and again for so long; return the busiest thread's part of all CPU time, from 0 to 1.

    Threads begun by different calls are taken for one where they did the most of theirs, and so on down; so
    are those of one call that run one after the other.
    1 where nothing was used. Raises psutil.Error where the system does not tell, and whatever `call` does.
    """
    caller, before = 0.0, _living()
    calls: list[dict[int, _Life]] = []
    end = time.monotonic() + seconds
    while not calls or time.monotonic() < end:
        with _Begun() as begun:
            start = time.thread_time()
            result = call()
            caller += time.thread_time() - start
        del result  # outside of the caller's time: to give its pages back costs a third of a ReLU
        calls.append(begun.lives)
    time.sleep(_GONE)
    living = _living()
    ended = [
        sorted(_at_once([life for number, life in one.items() if number not in living]), reverse=True)
        for one in calls
    ]
    ranks = (
        sum(one[rank] for one in ended if rank < len(one)) for rank in range(max(len(one) for one in ended))
    )
    spent = [caller, *(used - before.get(number, 0.0) for number, used in living.items()), *ranks]
    return max(spent) / sum(spent) if sum(spent) > 0 else 1.0


def _living() -> dict[int, float]:
    """Return CPU seconds by thread of this process, other than the one that asks."""
    mine = threading.get_native_id()
    threads = psutil.Process().threads()
    return {thread.id: thread.user_time + thread.system_time for thread in threads if thread.id != mine}


@dataclass
class _Life:
    """When a thread was seen first and last, and its CPU seconds until then."""

    first: float
    last: float
    spent: float


def _at_once(lives: list[_Life]) -> list[float]:
    """Return CPU seconds of threads; those that live one after the other are one."""
    found: list[_Life] = []
    for life in sorted(lives, key=lambda one: one.first):
        over = [one for one in found if one.last <= life.first]
        if over:
            one = min(over, key=lambda one: one.spent)
            one.last, one.spent = life.last, one.spent + life.spent
        else:
            found.append(replace(life))
    return [one.spent for one in found]


class _Begun:
    """The threads that begin while it is entered."""

    def __init__(self) -> None:
        self.lives: dict[int, _Life] = {}

    def __enter__(self) -> "_Begun":
        self._before = threading.getprofile()
        threading.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(self._before)

    def _look(self, *_: Any) -> None:
        """Be called at every call and return in such a thread; the last is the return of its `run`."""
        now, spent = time.monotonic(), time.thread_time()
        life = self.lives.setdefault(threading.get_native_id(), _Life(now, now, spent))
        life.last, life.spent = now, spent


def longest_hold(call: Callable[[], Any]) -> float:
    """Call once; return the largest part of its CPU time in which no other thread had the GIL, from 0 to 1.

    A thread asks for the GIL all the time. A kernel that holds it has its whole run in one such part; one
    that lets go of it is seen at many places, unless the system gives that thread no CPU: the least of
    several calls counts.
    """
    marks: list[float] = []
    over, begun = threading.Event(), threading.Event()

    def ask() -> None:
        begun.set()
        while not over.is_set():
            marks.append(time.process_time())
            time.sleep(_PAUSE)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    begun.wait()
    start = time.process_time()
    try:
        call()
    finally:
        end = time.process_time()
        over.set()
        asking.join()
    within = [start, *(mark for mark in marks if start < mark < end), end]
    return max(later - earlier for earlier, later in pairwise(within)) / max(end - start, 1e-9)
