"""Which clock times a call: the CPU's, or a GPU's own events where the arrays live on one."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from tinytorch.measure.inputs import Call


class Clock(Protocol):
    """Times a number of calls, one after the other."""

    name: str

    def time(self, calls: Iterable[Call]) -> float:
        """Return the seconds that all of them take together."""


class WallClock:
    """`time.perf_counter`."""

    name = "perf_counter"

    def time(self, calls: Iterable[Call]) -> float:
        """Return the seconds that all of them take together."""
        begin = time.perf_counter()
        for function, args, kwargs in calls:
            function(*args, **kwargs)
        return time.perf_counter() - begin


class CudaClock:
    """CUDA events: what the GPU did between them, not how long it took to ask for it."""

    name = "CUDA events"

    def __init__(self, event: Callable[[], Any], synchronize: Callable[[Any], None], elapsed: Any) -> None:
        self._event = event
        self._synchronize = synchronize
        self._elapsed = elapsed

    def time(self, calls: Iterable[Call]) -> float:
        """Return the seconds that all of them take together."""
        start, end = self._event(), self._event()
        start.record()
        for function, args, kwargs in calls:
            function(*args, **kwargs)
        end.record()
        self._synchronize(end)
        return float(self._elapsed(start, end)) / 1e3


def clock_for(values: Iterable[Any]) -> Clock:
    """Return CUDA's events if an array among `values` is on its GPU, the wall clock otherwise."""
    for value in values:
        if getattr(getattr(value, "device", None), "type", None) == "cuda":
            import torch

            return CudaClock(
                lambda: torch.cuda.Event(enable_timing=True),
                lambda event: event.synchronize(),
                lambda start, end: start.elapsed_time(end),
            )
        if type(value).__module__.partition(".")[0] == "cupy":
            import cupy

            return CudaClock(cupy.cuda.Event, lambda event: event.synchronize(), cupy.cuda.get_elapsed_time)
    return WallClock()
