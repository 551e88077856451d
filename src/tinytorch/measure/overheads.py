"""What it costs to begin: a call from Python, an operation of NumPy, a launch on threads, a new page."""

import mmap
from collections.abc import Callable

import numpy as np

from tinytorch.measure.probe import Probe, Reading, reading
from tinytorch.runtime.arrays import FLOAT32
from tinytorch.runtime.compile import tile_kernel

_PAGES = 2048


@tile_kernel(lambda T: (T[::1],))
def _nothing(tile, thread, x):
    pass


def call_overhead(ours: bool) -> Reading:
    """Return the seconds of a call that has next to nothing to do: of NumPy, or of a kernel of ours."""
    x = np.zeros(1, np.float32)
    if not ours:
        return _seconds(lambda: np.add(x, x, x))
    kernel = _nothing[FLOAT32]
    return _seconds(lambda: kernel(1, x))


def overheads(threads: int) -> dict[str, Reading]:
    """Return seconds: "python call", "numpy call", "kernel call", "launch" (if threads > 1), "page fault".

    A launch is what a kernel on all threads takes longer than on one, when there is nothing to do.
    """
    x = np.zeros(1, np.float32)
    kernel = _nothing[FLOAT32]

    def nothing() -> None:
        pass

    found = {
        "python call": _seconds(nothing),
        "numpy call": call_overhead(ours=False),
        "kernel call": call_overhead(ours=True),
        "page fault": _inverse(reading(_page_probe, 1)),
    }
    if threads > 1:
        both = _seconds(lambda: kernel(threads, x, threads=threads))
        alone = found["kernel call"].value
        found["launch"] = Reading(*(max(0.0, value - alone) for value in (both.value, both.low, both.high)))
    return found


def _seconds(call: Callable[[], object]) -> Reading:
    def run(turns: int) -> None:
        for _ in range(turns):
            call()

    return _inverse(reading(lambda: Probe(run, 1), 1))


def _inverse(rate: Reading) -> Reading:
    return Reading(1 / rate.value, 1 / rate.high, 1 / rate.low)


def _page_probe() -> Probe:
    """Return a probe that writes to pages no one has touched; its work is pages of the system's size."""
    size = _PAGES * mmap.PAGESIZE

    def run(turns: int) -> None:
        for _ in range(turns):
            with mmap.mmap(-1, size) as memory:
                if hasattr(mmap, "MADV_NOHUGEPAGE"):
                    memory.madvise(mmap.MADV_NOHUGEPAGE)
                pages = np.frombuffer(memory, np.uint8)
                pages[:: mmap.PAGESIZE] = 1
                del pages

    return Probe(run, _PAGES)
