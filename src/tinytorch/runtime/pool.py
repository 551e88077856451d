"""A pool of threads for compiled code: a launch costs about a microsecond.

A job is a number of tiles. The caller posts it in shared words, wakes the workers that sleep, and starts on
the first tile; each thread claims the next by compare-and-swap until none is left. The caller waits only
for tiles that somebody has claimed, so a worker that sleeps or was never scheduled delays nothing.

Workers are Python threads that live inside one compiled loop and hold no GIL: they look for work for a short
while, then sleep on a condition variable. There is one job at a time: a second caller does its own tiles
itself, since the CPUs are busy anyway. A child made by fork starts with a pool of its own.

Two pools in one process are in each other's way: threads of one look for work on the CPUs that the other
needs. So a pool can `join` an OpenMP library that is there already, PyTorch's: the same job is then done by
its threads, which come for it out of their own waiting.
"""

import atexit
import contextlib
import os
import threading
from typing import Any

import numpy as np
from numba import njit, types

from tinytorch.runtime import system
from tinytorch.runtime.intrinsics import add, call_system, call_tile, compare_and_swap, load, pause, store
from tinytorch.runtime.threads import MAX_THREADS

# The shared words, a cache line (64 bytes) each so that claiming does not disturb looking.
GENERATION, TICKET, DONE, FUNCTION, ARGUMENTS, LIMIT, BASE, BUSY, STOP = (64 * i for i in range(9))
#: Addresses of functions, together in one line: the system's, which never change; `GOMP_parallel` and what
#: it runs, or 0.
LOCK, UNLOCK, WAIT, SIGNAL, YIELD, TEAM, MEMBER = (64 * 9 + 8 * i for i in range(7))
#: How many threads of a team have come.
ARRIVED = 64 * 10
#: From here on, three lines for each worker: whether it sleeps, its lock, its condition variable.
BEDS, BED, ASLEEP, BED_LOCK, BED_CONDITION = 64 * 11, 64 * 3, 0, 64, 128
MAX_WORKERS = MAX_THREADS - 1
#: The ticket holds generation (31 bits), number of tiles (16) and next tile (16) in one word, so that a
#: worker that was late for one job can claim nothing of the next.
WAVE = (1 << 16) - 1
#: Looks at the generation before a worker sleeps: 30 to 60 us, about the Python between two kernel calls.
#: Less, and a network's layers each pay a wake-up (10 us); more, and idle pools burn CPUs others need.
SPINS = 2000
#: Up to this many CPUs workers are told to keep off the caller's: see `Pool._place`.
FEW_CPUS = 8


@njit(nogil=True)
def _work(pool, generation, thread):
    """Claim and run tiles of one job until none is left; `thread` is the number of who does."""
    while True:
        ticket = load(pool + TICKET)
        tile = ticket & 0xFFFF
        if ticket >> 32 != generation or tile >= (ticket >> 16) & 0xFFFF:
            return
        if compare_and_swap(pool + TICKET, ticket, ticket + 1):
            # Only now is it sure that the job's words are this job's: its caller waits for this tile.
            call_tile(load(pool + FUNCTION), load(pool + ARGUMENTS), load(pool + BASE) + tile, thread)
            add(pool + DONE, 1)


@njit(nogil=True)
def _wake(pool, workers):
    """Wake those of the first `workers` workers that sleep; what they shall see must be stored before."""
    for slot in range(workers):
        bed = pool + BEDS + slot * BED
        if load(bed + ASLEEP) != 0:
            call_system(load(pool + LOCK), bed + BED_LOCK, 0, 0, 0)
            call_system(load(pool + SIGNAL), bed + BED_CONDITION, 0, 0, 0)
            call_system(load(pool + UNLOCK), bed + BED_LOCK, 0, 0, 0)


@njit(nogil=True)
def launch(pool, threads, tiles, function, arguments):
    """Run `tiles` tiles on up to `threads` threads, the caller being number 0; returns when all are done."""
    if threads <= 1 or tiles <= 1 or not compare_and_swap(pool + BUSY, 0, 1):
        for tile in range(tiles):
            call_tile(function, arguments, tile, 0)
        return
    store(pool + FUNCTION, function)
    store(pool + ARGUMENTS, arguments)
    store(pool + LIMIT, threads - 1)
    for base in range(0, tiles, WAVE):
        wave = min(WAVE, tiles - base)
        generation = (load(pool + GENERATION) + 1) & 0x7FFFFFFF
        store(pool + BASE, base)
        store(pool + DONE, 0)
        store(pool + TICKET, (generation << 32) | (wave << 16))
        team, most = load(pool + TEAM), min(threads, wave, MAX_THREADS)
        if team != 0:
            store(pool + ARRIVED, 0)
            call_system(team, load(pool + MEMBER), pool, most, 0)  # returns when all have
            continue
        store(pool + GENERATION, generation)
        _wake(pool, most - 1)
        _work(pool, generation, 0)
        spins = 0
        while load(pool + DONE) < wave:
            pause()
            spins += 1
            if spins > SPINS:  # the worker may need this very CPU
                call_system(load(pool + YIELD), 0, 0, 0, 0)
    store(pool + BUSY, 0)


def _member(pool):
    """Do a share of the job as a thread of a team."""
    _work(pool, load(pool + TICKET) >> 32, add(pool + ARRIVED, 1))


def _serve(pool, slot):
    """Be worker number `slot` until the pool is stopped."""
    seen, idle = load(pool + GENERATION) - 1, 0
    bed = pool + BEDS + slot * BED
    while load(pool + STOP) == 0:
        generation = load(pool + GENERATION)
        if generation != seen:
            seen = generation
            if slot < load(pool + LIMIT):
                idle = 0
                _work(pool, generation, slot + 1)
        elif idle < SPINS:
            pause()
            idle += 1
        else:
            # Asleep is stored before the generation is read, and the caller stores and reads in the other
            # order: one of them sees the other. The lock covers the time between reading and sleeping.
            call_system(load(pool + LOCK), bed + BED_LOCK, 0, 0, 0)
            store(bed + ASLEEP, 1)
            if load(pool + GENERATION) == seen and load(pool + STOP) == 0:
                call_system(load(pool + WAIT), bed + BED_CONDITION, bed + BED_LOCK, -1, 0)
            store(bed + ASLEEP, 0)
            call_system(load(pool + UNLOCK), bed + BED_LOCK, 0, 0, 0)
            idle = 0


def _stop(pool):
    """End all workers."""
    store(pool + STOP, 1)
    _wake(pool, MAX_WORKERS)


class Pool:
    """The workers of this process and the words they share."""

    def __init__(self) -> None:
        size = (BEDS + BED * MAX_WORKERS) // 8
        raw = np.zeros(size + 8, np.int64)
        self._words = raw[(-raw.ctypes.data % 64) // 8 :][:size]
        self.address: int = self._words.ctypes.data
        self._words[LOCK // 8 : LOCK // 8 + 5] = _SYSTEM
        self._threads: list[threading.Thread] = []
        self._most = MAX_WORKERS  # fewer once the system has refused another thread
        self._lock = threading.Lock()
        self._end: Any = None
        self._caller_cpu = -1

    def join(self, parallel: int) -> None:
        """Let the threads of an OpenMP library do what is launched from now on.

        `parallel` is the address of its `GOMP_parallel(function, argument, threads, flags)`, which compilers
        call for a parallel region: GNU's library has it, and LLVM's and Intel's for its sake. With 0 the
        pool's own workers do it again.
        """
        if parallel:
            from tinytorch.runtime.compile import callback

            self._words[MEMBER // 8] = callback((types.int64,), _member)
        self._words[TEAM // 8] = parallel

    @property
    def team(self) -> bool:
        """Whether the threads of an OpenMP library do what is launched."""
        return bool(self._words[TEAM // 8])

    def ready(self, threads: int) -> None:
        """See to it that `threads` - 1 workers exist, away from the caller. A launch is right without."""
        if self._words[TEAM // 8]:
            return
        if len(self._threads) < min(threads - 1, self._most):
            self._grow(threads - 1)
        if _current_cpu is not None and (cpu := _current_cpu()) != self._caller_cpu:
            self._place(cpu)

    def _place(self, cpu: int) -> None:
        """Let the workers run anywhere but on the caller's CPU.

        Linux likes to wake a thread where its waker runs, and there it waits for the caller to finish:
        a job of 500 us after an idle pause took 610 us on two threads, 320 us with this (Zen 3, 2 CPUs).
        Not pinned to one CPU each, as pools of several processes would all choose the same. Where CPUs
        are many, the scheduler finds an idle one by itself and this would only cost.
        """
        if self._words[BUSY // 8]:
            return  # the workers work for another caller
        self._caller_cpu = cpu
        others = os.sched_getaffinity(0) - {cpu}
        if 1 <= len(others) < FEW_CPUS:
            with contextlib.suppress(OSError):  # a sandbox may forbid it; then the scheduler decides
                for thread in self._threads:
                    os.sched_setaffinity(thread.native_id or 0, others)

    def _grow(self, count: int) -> None:
        from tinytorch.runtime.compile import compiled

        with self._lock:
            if len(self._threads) >= min(count, self._most):
                return
            serve = compiled(types.void(types.int64, types.int64), _serve)
            self._end = compiled(types.void(types.int64), _stop)
            while len(self._threads) < min(count, self._most):
                slot = len(self._threads)
                bed = self.address + BEDS + slot * BED
                system.initialize(bed + BED_LOCK, bed + BED_CONDITION)
                thread = threading.Thread(
                    target=self._run, args=(serve, slot), name=f"tinytorch-{slot}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    self._most = slot  # those that started serve, and a launch needs none
                else:
                    self._threads.append(thread)
            self._caller_cpu = -1  # the new ones are to be placed

    def _run(self, serve: Any, slot: int) -> None:
        serve(self.address, slot)  # `self` keeps the words alive as long as the thread reads them

    def stop(self) -> None:
        """End the workers; launches after this run on the caller alone."""
        with self._lock:
            self._most = 0
            if self._end is not None:
                self._end(self.address)
            for thread in self._threads:
                thread.join(timeout=1.0)
            self._threads.clear()


_SYSTEM = system.find()
_current_cpu = system.find_current_cpu()
_pool = Pool()


def current() -> Pool:
    """Return this process's pool."""
    return _pool


def _forget() -> None:
    global _pool  # noqa: PLW0603
    _pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
# Workers must be out of compiled code before the interpreter frees it.
atexit.register(lambda: current().stop())
