"""How much of a call is Python's interpreter, and how much the compiled code that it calls.

Each bytecode is seen through `sys.settrace` with the time until the next. A bytecode that takes about as long
as one of a plain loop is the interpreter's; what one takes beyond that, if it is much, is native code. Which
of the two a place in the code is, the median of its times tells, so that a thread put to sleep does not.
"""

import functools
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

LIMIT = 200_000
#: What a bytecode takes beyond this many times a plain one's own cost, and beyond what tracing adds (which
#: is as uncertain), is native code; less is the interpreter boxing a number, or NumPy reading an element.
_NATIVE = 25
_SAMPLES_KEPT = 1000  # of the times that one place took


@dataclass(frozen=True)
class Interpreter:
    """The interpreter's part of a call, in the calling thread.

    `bytecodes` were executed, up to the limit: `complete` says whether the call ended before it. `seconds` is
    what an untraced call spends on them, `share` that by the whole call's time; both are estimates.
    """

    bytecodes: int
    complete: bool
    seconds: float
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "bytecodes": self.bytecodes,
            "complete": self.complete,
            "interpreter_s": self.seconds,
            "share": self.share,
        }


def interpreter(
    func: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    seconds: float,
    limit: int = LIMIT,
) -> Interpreter:
    """Call `func` once under trace; `seconds` is what a call takes untraced.

    A trace function that is set (a debugger's, a coverage tool's) sees nothing of the call and is put back.
    What `func` raises is raised; ValueError for a limit below 1 or seconds that are no time.

    >>> interpreter(lambda n: sum(i for i in range(n)), (100,), seconds=1e-5).complete
    True
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    if not (seconds >= 0 and math.isfinite(seconds)):
        raise ValueError(f"seconds must be a time, not {seconds}")
    cost = _bytecode()
    trace = _Trace(limit)
    trace.run(func, args, dict(kwargs or {}))
    inside, native = 0.0, 0.0
    for place in trace.places.values():
        beyond = max(0.0, statistics.median(place.kept) - cost.traced)
        if beyond > max(_NATIVE * cost.untraced, cost.traced):
            native += max(0.0, place.total - place.times * cost.traced)
        else:
            inside += place.times * beyond
    least = trace.bytecodes * cost.untraced
    inside += least
    share = inside / (inside + native) if inside else 0.0
    if seconds:  # a place that was passed once may have been disturbed: the bytecodes took this, at least
        share = max(share, min(1.0, least / seconds))
    return Interpreter(trace.bytecodes, trace.complete, share * seconds, share)


class _Place:
    """One place in the code: how often it was passed, and the seconds until the next event."""

    __slots__ = ("kept", "times", "total")

    def __init__(self) -> None:
        self.times, self.total = 0, 0.0
        self.kept: list[float] = []


class _Trace:
    """Sees the bytecodes of one call."""

    def __init__(self, limit: int) -> None:
        self.bytecodes = 0
        self.complete = True
        self.places: dict[tuple[CodeType, int], _Place] = {}  # by code and offset
        self._limit = limit

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Call a function."""
        clock = time.perf_counter
        place: _Place | None = None
        begin = 0.0
        left = self._limit

        def close() -> None:
            """Give the time since the last event to the bytecode that ran."""
            elapsed = clock() - begin
            if place is not None:
                place.times += 1
                place.total += elapsed
                if len(place.kept) < _SAMPLES_KEPT:
                    place.kept.append(elapsed)

        def inside(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal place, begin, left
            if left < 0:  # frames that were entered before the limit keep this function
                return None
            close()
            if event == "opcode":
                if left == 0:
                    left, self.complete = -1, False
                    sys.settrace(None)
                    return None
                left -= 1
                key = frame.f_code, frame.f_lasti
                place = self.places.get(key)
                if place is None:
                    place = self.places[key] = _Place()
            begin = clock()
            return inside

        def enter(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal begin
            if left < 0:
                return None
            close()
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            frame.f_trace = inside
            begin = clock()
            return inside

        previous = sys.gettrace()
        # Python 3.12 gives no opcode events unless a frame asked for them before `settrace`, 3.13 none
        # unless a frame's trace function is set after it asked.
        sys._getframe().f_trace_opcodes = True
        begin = clock()
        sys.settrace(enter)
        try:
            func(*args, **kwargs)
        finally:
            sys.settrace(previous)
            left, unused = -1, max(left, 0)
        self.bytecodes = self._limit - unused
        # The last bytecode before the limit, or before the end, may have met no event after it.
        self.places = {key: place for key, place in self.places.items() if place.times}


@dataclass(frozen=True)
class _Bytecode:
    """Seconds of one plain bytecode, and of one under trace."""

    untraced: float
    traced: float


def _loop(n: int) -> int:
    total = 0
    for i in range(n):
        if i & 1:
            total += i
        else:
            total -= i
    return total


@functools.cache
def _bytecode() -> _Bytecode:
    """Measure a plain loop, traced and not, once for this process."""
    rounds = 2000
    trace = _Trace(100 * rounds)
    trace.run(_loop, (rounds,), {})
    traced = statistics.median(statistics.median(place.kept) for place in trace.places.values())
    best = math.inf
    for _ in range(20):  # the fastest: the others were disturbed
        begin = time.perf_counter()
        _loop(rounds)
        best = min(best, time.perf_counter() - begin)
    return _Bytecode(best / trace.bytecodes, traced)
