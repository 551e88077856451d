"""A submission's code in a confined process, as the `Subject` of the checks.

Inputs are drawn here, sent, and results judged here: nothing that the process says of itself counts. Where it
ends, or does not, that is the answer to the one call; the next call finds a new process.
"""

import contextlib
import functools
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tinytorch.course import calling, reading
from tinytorch.course.running import process
from tinytorch.course.running.process import EndedError, Limits, Process
from tinytorch.course.subject import (
    GPU_STEPS,
    Call,
    Mine,
    NotAttemptedError,
    NotRunError,
    Probe,
    RaisedError,
    Ratio,
    Target,
    WrongError,
)
from tinytorch.gpu.analysis.result import Analysis
from tinytorch.runtime.extras import MissingExtraError, needs

__all__ = ["Limits", "Runner"]

#: Seconds of work around a call that may go unseen; rounds in which more than that has to be seen again. On
#: a busy machine sending may take so many times what it took before.
_UNSEEN, _MORE_ROUNDS, _NOISE = 0.005, 12, 3.0
#: Empty questions of which the fastest tells how long any takes; no call takes less than the clock can tell.
_TRIPS, _TICK = 20, 1e-6
#: Bytes sent there and back to tell how long each takes.
_SOME = 1 << 20
#: Whole numbers from here on are counts, of which one in a hundred more or less is no other work.
_COUNT = 10_000
_GPU_MEMORY, _MOST_PTX = 256 << 20, 4 << 20
_NONE = re.compile(r"there is no function (\w+) yet")


class Runner:
    """The `Subject` whose code is a submission's cells, run in a process of its own.

    Without `confined` the process is only watched.

    >>> with Runner(["def double(x):\\n    return 2 * x"]) as learner:
    ...     learner.call("double", 21)
    42
    """

    def __init__(self, cells: Sequence[str], *, limits: Limits | None = None, confined: bool = True) -> None:
        self._cells = tuple(cells)
        self._limits, self._confined = limits or Limits(), confined
        self._process: Process | None = None
        self._folder: Path | None = None
        self._failed: dict[int, WrongError] = {}  # by the cell's number, what is to be said of it
        self._deadly: set[int] = set()  # cells that end the process, or do not end: not run again
        self._spent = 0.0
        self._trip = self._each_byte = 0.0  # seconds that an answer is on its way, and that a byte is

    def __enter__(self) -> "Runner":
        """Return itself; the process is started by the first question."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process, and remove its folder."""
        if self._process is not None:
            self._process.end()
            self._process = None
        if self._folder is not None:
            process.remove(self._folder)
            self._folder = None

    def layers(self) -> tuple[str, ...]:
        """Return the names of what confines the process, which is started if need be."""
        self._start()
        assert self._process is not None
        return tuple(self._process.layers)

    def printed(self) -> str:
        """Return the first that the code has printed since its process was started."""
        return self._process.printed() if self._process else ""

    def call(self, target: Target, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        self._require_untouched(target, args, kwargs)
        return self._ask("call", target=target, args=args, kwargs=kwargs)

    def ratio(self, first: Call, second: Call, rounds: int = 7) -> Ratio:
        """Time two calls in turns, by the clock of this process; the ratio of the least that each took.

        A yardstick is called in this process, where nobody slows it down. The machine may be busy with other
        submissions, which only adds to a time. Arguments differ from round to round, but for the last: an
        answer kept from one would be wrong in the next.
        """
        calls = (first, second)
        for call in calls:
            if not _is_yardstick(call):
                self._ask("find", target=call.target)
        taken: tuple[list[_Taken], list[_Taken]] = ([], [])

        def go_round(number: int, factor: float) -> None:
            for place in (0, 1) if number % 2 else (1, 0):
                call = _varied(calls[place], factor)
                taken[place].append(_here(call) if _is_yardstick(call) else self._there(place, call))

        go_round(0, random.uniform(0.5, 1.0))
        for each in taken:
            each.clear()  # it was for compiling
        for number in range(1, rounds + 1):
            go_round(number, 1.0 if number == rounds else random.uniform(0.5, 1.0))
        last = [each[-1].result for each in taken]
        if _is_yardstick(second):
            for number in range(_MORE_ROUNDS):
                if not _outside(taken):
                    break
                go_round(number, random.uniform(0.5, 1.0))
            else:
                raise WrongError(
                    "it does its work outside of the call that is timed",
                    "What a function returns has to be finished when it returns.",
                )
        least = [min(one.inside for one in each) for each in taken]
        return Ratio(least[0] / least[1], last[0], last[1], tuple((one.args, one.result) for one in taken[0]))

    def _there(self, place: int, call: Call) -> "_Taken":
        """Make one call in the process; of what goes before and after it only what is too long counts."""
        start = self._cpu_seconds()
        before = self._seconds("ready", place=place, target=call.target, args=call.args, kwargs=call.kwargs)
        used = self._cpu_seconds() - start
        inside = self._seconds("go", place=place)
        start = self._cpu_seconds()
        after = self._seconds("result", place=place)
        used += self._cpu_seconds() - start
        outside = max(0.0, before[0] - self._on_its_way((call.args, call.kwargs)))
        outside += max(0.0, after[0] - self._on_its_way(after[1]))
        # Who only waits for a CPU does no work.
        return _Taken(call.args, max(inside[0] - self._trip, _TICK), min(outside, used), after[1])

    def _cpu_seconds(self) -> float:
        """Return the CPU seconds that the process has used; where the system does not tell, time itself."""
        assert self._process is not None
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                return time.clock_gettime(~self._process.pid << 3 | 2)  # see clock_getcpuclockid(3)
        return time.perf_counter()

    def _on_its_way(self, value: Any) -> float:
        """Return the seconds that it may take to send a value and to hear of it."""
        return self._trip + _NOISE * self._each_byte * _size(value)

    def _seconds(self, do: str, **request: Any) -> tuple[float, Any]:
        """Return how long an answer took, and the answer."""
        start = time.perf_counter()
        value = self._ask(do, **request)
        return time.perf_counter() - start, value

    def busiest(self, target: Target, /, *args: Any, seconds: float = 1.0, **kwargs: Any) -> float:
        """Return the busiest thread's part of all CPU time.

        A thread that ends takes its time with it, which only the process itself can see early enough. What
        it says is held against what the system tells of the threads that live.
        """
        self._ask("find", target=target)
        self._there(0, Call(target, args, kwargs))  # compiles
        before = self._threads()
        said = self._ask("busiest", target=target, args=args, kwargs=kwargs, seconds=seconds, longer=seconds)
        after = self._threads()
        if not isinstance(said, float):
            raise WrongError(process.FORGED)
        if not after or (spent := after.pop(0) - before.pop(0)) <= 0:
            return said
        most = max(used - before.get(number, 0.0) for number, used in after.items())
        return max(said, min(most / spent, 1.0))

    def gpu(self, name: str, grid: Any, block: Any, /, *args: Any) -> Analysis:
        """Have a kernel compiled, and run it in the emulator here."""
        from tinytorch import gpu
        from tinytorch.gpu.frontends import numba_cuda

        try:
            needs("numba_cuda", "numba-cuda kernels", "gpu")
        except MissingExtraError as error:
            self._ask("find", target=name)
            raise NotRunError(str(error)) from None
        match self._ask("ptx", name=name, args=args):
            case (str() as ptx, [*names]) if len(names) == len(args) and len(ptx) < _MOST_PTX:
                pass
            case _:
                raise WrongError(process.FORGED)
        start = time.monotonic()
        try:
            made = numba_cuda.from_ptx(ptx, [_line(name) for name in names], grid, block, args)
            return gpu.analyze(replace(made, sources=self._sources()), steps=GPU_STEPS, memory=_GPU_MEMORY)
        except Exception as error:  # whatever the PTX of a stranger may lead to
            raise calling.raised(error, Path(__file__).parents[2]) from None
        finally:
            self._spent += time.monotonic() - start

    def uses(self, name: str) -> frozenset[str]:
        """Return what a function calls, read from the text of the cells."""
        self._ask("find", target=name)
        try:
            return reading.uses("\n".join(cell for cell in self._cells if reading.parsed(cell)), name)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise WrongError(f"the text of {name} cannot be read") from None

    def _ask(self, do: str, *, longer: float = 0.0, **request: Any) -> Any:
        """Return the answer's value, or raise what the answer says; the process is started if need be."""
        self._start()
        message = self._message(self._limits.call + longer, do, **request)
        match message:
            case {"value": value}:
                return value
            case {"error": "not attempted", "message": text}:
                if found := _NONE.match(_line(text)):
                    self._blame(found[1])
                raise NotAttemptedError(_line(text))
        raise _error(message)

    def _message(self, limit: float, do: str, **request: Any) -> dict[str, Any]:
        """Return an answer as it came; WrongError if none does, and then the process is no more."""
        assert self._process is not None
        start = time.monotonic()
        try:
            return self._process.ask(min(limit, self._limits.total - self._spent), do, **request)
        except EndedError as error:
            self.close()
            raise WrongError(str(error)) from None
        except BaseException:
            self.close()
            raise
        finally:
            self._spent += time.monotonic() - start

    def _start(self) -> None:
        """Have a process with all cells loaded, but for those that ended one before."""
        while self._process is None:
            if self._spent >= self._limits.total:
                raise WrongError(f"time is up: the {self._limits.total:g} s for all checks are used")
            self._folder = Path(tempfile.mkdtemp(prefix="tinytorch-"))
            for number, cell in enumerate(self._cells):
                (self._folder / _file(number)).write_text(cell, encoding="utf-8")
            self._process = Process(self._folder, self._limits, self._confined)
            # Before there is any code of the submission's that could take its time over it.
            self._trip = min(self._seconds("nothing")[0] for _ in range(_TRIPS))
            some = np.zeros(_SOME, np.uint8)
            both_ways = min(self._seconds("nothing", value=some)[0] for _ in range(_TRIPS // 4))
            self._each_byte = max(both_ways - self._trip, _TICK) / _SOME
            self._load()

    def _load(self) -> None:
        self._failed = {number: self._failed[number] for number in self._deadly}
        for number, cell in enumerate(self._cells):
            if number in self._deadly:
                continue
            try:
                message = self._message(self._limits.load, "load", file=_file(number), text=cell)
            except WrongError as error:
                self._deadly.add(number)
                self._failed[number] = WrongError(f"did not end well: {error}")
                return
            if "value" not in message:
                found = _error(message)
                where = found.where if isinstance(found, RaisedError) else ""
                self._failed[number] = WrongError(f"raised {found}", where)

    def _blame(self, name: str) -> None:
        """Raise WrongError if a function is missing because its cell failed."""
        defines = re.compile(rf"^\s*(?:async\s+def|def|class)\s+{name}\b|^{name}\s*=", re.MULTILINE)
        for number, error in self._failed.items():
            if defines.search(self._cells[number]):
                raise WrongError(f"the cell that defines {name} {error}", error.hint)

    def _threads(self) -> dict[int, float]:
        """Return CPU seconds of the process's threads, by number, and at 0 of the process; {} on macOS."""
        assert self._process is not None
        try:
            one = psutil.Process(self._process.pid)
            threads = {thread.id: thread.user_time + thread.system_time for thread in one.threads()}
            return {**threads, 0: sum(one.cpu_times()[:2])}
        except psutil.Error:
            return {}

    def _require_untouched(self, *told: Any) -> None:
        """Raise WrongError if a probe is to tell something in a process whose text could change the probe.

        A text can hide that from whoever reads it; it then takes more than a line.
        """
        if _holds_probe(told) and (found := self._reaches):
            raise WrongError(
                f"its cells use {', '.join(sorted(found))}: by that, what this check passes to your function "
                "or calls it by could have been changed",
                "Take that out of the exported cells.",
            )

    @functools.cached_property
    def _reaches(self) -> frozenset[str]:
        try:
            return reading.reaches("\n".join(cell for cell in self._cells if reading.parsed(cell)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return frozenset({"a text that cannot be read"})

    def _sources(self) -> dict[str, str]:
        """Return the cells by the names of their files, as a line table has them."""
        folder = self._folder or Path()
        return {str(folder / _file(number)): cell for number, cell in enumerate(self._cells)}


def _file(number: int) -> str:
    return f"cell_{number + 1}.py"


def _line(text: Any) -> str:
    """Return what a process says as one printable line of some length."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "?" for c in line[:600])


def _error(message: dict[str, Any]) -> Exception:
    """Return the error that an answer tells of."""
    match message:
        case {"error": "wrong", "message": text, **more}:
            return WrongError(_line(text), _line(more.get("hint", "")))
        case {"error": "not attempted", "message": text}:
            return NotAttemptedError(_line(text))
        case {"error": "raised", "kinds": [*kinds], "message": text, "where": where} if kinds:
            return RaisedError(tuple(map(_line, kinds[:20])), _line(text), _line(where))
    return WrongError(process.FORGED)


def _is_yardstick(call: Call) -> bool:
    """Say whether a call is a probe's, and has nothing of the learner's."""
    return isinstance(call.target, Probe) and not any(map(_has_mine, (call.args, call.kwargs)))


def _holds_probe(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_probe, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_probe, value))
    return isinstance(value, Probe) and value.name != "soiled"


def _has_mine(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_mine, value.values()))
    return any(map(_has_mine, value)) if isinstance(value, list | tuple) else isinstance(value, Mine)


def _varied(call: Call, factor: float) -> Call:
    """Return a call that is as much work on other numbers; the same for a factor of 1."""
    return replace(call, args=_scaled(call.args, factor), kwargs=_scaled(call.kwargs, factor))


def _scaled(value: Any, factor: float) -> Any:
    """Return arguments with arrays of floats scaled, in the same layout, and large counts a little less."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and factor != 1.0:
        scaled = calling.like(value)
        scaled *= factor
        return scaled
    if type(value) is int and value >= _COUNT:
        return value - int(value * (1 - factor) / 50)
    if isinstance(value, list | tuple):
        return type(value)(_scaled(part, factor) for part in value)
    return {key: _scaled(part, factor) for key, part in value.items()} if isinstance(value, dict) else value


def _size(value: Any) -> int:
    """Return the bytes of all arrays in a value."""
    if isinstance(value, dict):
        return _size(list(value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else int(getattr(value, "nbytes", 0))


@dataclass(frozen=True)
class _Taken:
    """One call: what it was made with, the seconds that it took and those around it, what it returned."""

    args: tuple[Any, ...]
    inside: float
    outside: float
    result: Any


def _here(call: Call) -> _Taken:
    """Make a yardstick's call in this process."""
    function = calling.function_of(call.target, {})
    args, kwargs = calling.copied((calling.resolved(call.args, {}), calling.resolved(call.kwargs, {})))
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return _Taken(call.args, max(time.perf_counter() - start, _TICK), 0.0, result)


def _outside(taken: tuple[list[_Taken], list[_Taken]]) -> bool:
    """Say whether the first call's work is done before or after it, in every round.

    A pause of the system, which is no work, is not in every one.
    """
    inside, whole = (min(one.inside + more * one.outside for one in taken[0]) for more in (0, 1))
    return whole - inside > max(min(one.inside for one in taken[1]) / 2, _UNSEEN)
