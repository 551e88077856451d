"""A submission's code in a confined process, as the `Subject` of the checks.

Inputs are drawn here, sent, and results judged here: nothing that the process says of itself counts. Where it
ends, or does not, that is the answer to the one call; the next call finds a new process.
"""

import ast
import random
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tinytorch.course import calling, process, reading
from tinytorch.course.process import EndedError, Limits, Process
from tinytorch.course.subject import (
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

#: A yardstick that takes so many times its time in this process, and a pause of the system, was slowed down.
_TAMPERED, _SLACK = 5.0, 0.02
#: Seconds of work around a call that may go unseen, and how often more than that has to be seen. Sending the
#: same twice may differ by so much.
_UNSEEN, _ATTEMPTS, _NOISE = 0.005, 5, 2.0
#: Empty questions of which the fastest tells how long any takes; no call takes less than the clock can tell.
_TRIPS, _TICK = 20, 1e-6
#: Bytes a second that go over the channel at the least, on a busy machine.
_LEAST_SPEED = 20e6
#: Warp instructions of a kernel in the emulator: 5 s if one warp loops. Exercises take some thousand.
_STEPS = 100_000
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
        self._trip = 0.0  # seconds that an answer is on its way

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
        return self._ask("call", target=target, args=args, kwargs=kwargs)

    def ratio(self, first: Call, second: Call, rounds: int = 7) -> Ratio:
        """Time two calls in turns, by the clock of this process; the ratio of the least that each took.

        The machine may be busy with other submissions, which only adds to a time. Floats are scaled by
        something else in each round but the last: an answer kept from one would be wrong in the next.
        """
        calls = (first, second)
        for call in calls:
            self._ask("find", target=call.target)
        before: tuple[list[float], list[float]] = ([], [])
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds + 1):
            factor = 1.0 if number == rounds else random.uniform(0.5, 1.0)
            for place in (0, 1) if number % 2 else (1, 0):
                before[place].append(self._get_ready(place, calls[place], factor))
                times[place].append(max(self._seconds("go", place=place)[0] - self._trip, _TICK))
        for call, seen in zip(calls, times, strict=True):
            if _is_yardstick(call) and min(seen) > _TAMPERED * _seconds_here(call) + _SLACK:
                raise WrongError("the yardstick was tampered with")
        if _is_yardstick(second):
            self._require_work_within(calls, before, max(min(times[1]) / 2, _UNSEEN))
        results = [self._ask("result", place=place) for place in (0, 1)]
        least = [min(seen[1:]) for seen in times]  # the first was for compiling
        return Ratio(least[0] / least[1], *results)

    def _get_ready(self, place: int, call: Call, factor: float = 1.0) -> float:
        """Send what one of two calls is made with; return the seconds that it took."""
        args, kwargs = _scaled((call.args, call.kwargs), factor)
        return self._seconds("ready", place=place, target=call.target, args=args, kwargs=kwargs)[0]

    def _require_work_within(
        self, calls: tuple[Call, Call], before: tuple[list[float], list[float]], most: float
    ) -> None:
        """Raise WrongError if the first call's work is done before or after it.

        `before` is how long the arguments took, `most` for how long work may go unseen. A pause of the system
        is no work: what takes longer than the same for the second call counts if it does so every time.
        """
        for attempt in range(_ATTEMPTS):
            if attempt:
                for place, call in enumerate(calls):
                    before[place].append(self._get_ready(place, call))
                    self._ask("go", place=place)
            taken = {place: self._seconds("result", place=place) for place in random.sample((0, 1), 2)}
            (first, result), (second, other) = taken[0], taken[1]
            earlier = min(before[0]) - _NOISE * min(before[1]) - _more(*calls) / _LEAST_SPEED
            later = first - _NOISE * second - _more(result, other) / _LEAST_SPEED
            if max(earlier, later) <= most:
                return
        raise WrongError(
            "it does its work outside of the call that is timed",
            "What a function returns has to be finished when it returns.",
        )

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
        self._get_ready(0, Call(target, args, kwargs))
        self._ask("go", place=0)  # compiles
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
            return gpu.analyze(replace(made, sources=self._sources()), steps=_STEPS, memory=_GPU_MEMORY)
        except Exception as error:  # whatever the PTX of a stranger may lead to
            raise calling.raised(error, Path(__file__).parent.parent) from None
        finally:
            self._spent += time.monotonic() - start

    def uses(self, name: str) -> frozenset[str]:
        """Return what a function calls, read from the text of the cells."""
        self._ask("find", target=name)
        try:
            return reading.uses("\n".join(cell for cell in self._cells if _parses(cell)), name)
        except (SyntaxError, RecursionError):
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

    def _sources(self) -> dict[str, str]:
        """Return the cells by the names of their files, as a line table has them."""
        folder = self._folder or Path()
        return {str(folder / _file(number)): cell for number, cell in enumerate(self._cells)}


def _file(number: int) -> str:
    return f"cell_{number + 1}.py"


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


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


def _has_mine(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_mine, value.values()))
    return any(map(_has_mine, value)) if isinstance(value, list | tuple) else isinstance(value, Mine)


def _scaled(value: Any, factor: float) -> Any:
    """Return arguments with arrays of floats scaled, in the same layout."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and factor != 1.0:
        scaled = calling.like(value)
        scaled *= factor
        return scaled
    if isinstance(value, list | tuple):
        return type(value)(_scaled(part, factor) for part in value)
    return {key: _scaled(part, factor) for key, part in value.items()} if isinstance(value, dict) else value


def _more(first: Any, second: Any) -> int:
    """Return how many bytes the first has more than the second."""
    return max(0, _size(first) - _size(second))


def _size(value: Any) -> int:
    """Return the bytes of all arrays in a value."""
    if isinstance(value, Call):
        return _size((value.args, value.kwargs))
    if isinstance(value, dict):
        return _size(list(value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else int(getattr(value, "nbytes", 0))


def _seconds_here(call: Call) -> float:
    """Return what a probe's call takes in this process, the shorter of two."""
    function = calling.function_of(call.target, {})
    times = []
    for _ in range(2):
        args, kwargs = calling.copied((calling.resolved(call.args, {}), calling.resolved(call.kwargs, {})))
        start = time.perf_counter()
        function(*args, **kwargs)
        times.append(time.perf_counter() - start)
    return min(times)
