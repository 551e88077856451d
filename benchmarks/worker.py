"""One library in a process of its own: `python -m benchmarks.worker LIBRARY THREADS`.

The coordinator asks one JSON line at a time on stdin and is answered one on stdout. What a library prints by
itself goes to stderr: stdout is moved away before any is loaded.
"""

import ctypes
import gc
import importlib
import importlib.metadata
import json
import math
import os
import signal
import sys
import time
from typing import Any

#: A sample lasts about this long: 40,000 times the clock's step, and about a time slice.
SAMPLE_SECONDS = 4e-3
#: Calls longer than the first are warmed up by one call, longer than the second by none: their caches and
#: clocks are warm before a hundredth of the call is over.
ONE_WARM_UP, NO_WARM_UP = 0.01, 0.05


class Worker:
    """What one library has been asked to have ready."""

    def __init__(self, library: str, threads: int) -> None:
        self.peer = importlib.import_module(f"benchmarks.peers.{library}")
        self.peer.start(threads)
        self.threads = threads
        self.arrays: Any = None
        self.contenders: dict[str, Any] = {}
        self.expected: dict[str, float] = {}  # seconds of a call

    def prepare(self, operation: str, dtype: str, shape: list[int]) -> dict[str, Any]:
        """Draw the arrays of a case and do what a library does ahead; returns the roles by name."""
        from benchmarks.inputs import draw
        from benchmarks.peers import NotOfferedError
        from benchmarks.suites import Case

        self.contenders, self.expected, self.arrays = {}, {}, None
        gc.collect()
        case = Case(operation, dtype, tuple(shape))
        self.arrays = draw(case)
        try:
            self.contenders = self.peer.make(case, self.arrays)
        except NotOfferedError as error:
            return {"left_out": str(error)}
        return {"roles": {name: contender.role for name, contender in self.contenders.items()}}

    def check(self, name: str) -> dict[str, Any]:
        """Call once, which may compile; returns the shape of the result and a sample of its values."""
        import numpy as np

        from benchmarks.inputs import sample

        contender, out = self.contenders[name], self.arrays.out
        # What is not written shows, and the pages are there.
        out.fill(-(2**31) if out.dtype.kind == "i" else math.nan)
        begin = time.perf_counter()
        returned = contender.call()
        self.expected[name] = time.perf_counter() - begin
        result = np.asarray(returned) if contender.returns else out
        values = sample(result).astype(np.float64)
        return {"shape": list(result.shape), "sample": values.tolist()}

    def measure(self, name: str) -> dict[str, Any]:
        """Time a call: some to warm up, then as many as a sample takes."""
        call = self.contenders[name].call
        while True:
            expected = max(self.expected[name], 1e-9)
            seconds, calls = _sample(call, expected)
            self.expected[name] = min(expected, seconds)
            if seconds > expected / 2:
                return {"seconds": seconds, "calls": calls}
            # The expectation was of a first call, so warm-up and sample were too short: once more.

    def peak(self, dtype: str) -> dict[str, Any]:
        """Measure the machine's peak, in operations a second.

        bfloat16 is held against float32's, which a CPU with an instruction for it can exceed.
        """
        from tinytorch.measure.peaks import peak_probe
        from tinytorch.measure.probe import reading
        from tinytorch.runtime.arrays import FLOAT32, FLOAT64

        kind = FLOAT64 if dtype == "float64" else FLOAT32
        return {"rate": reading(lambda: peak_probe(kind), self.threads, samples=3).high}


def _sample(call: Any, expected: float) -> tuple[float, int]:
    """Return the seconds of a call, and how many were timed."""
    for _ in range(0 if expected > NO_WARM_UP else 1 if expected > ONE_WARM_UP else 2):
        call()
    calls = max(1, math.ceil(SAMPLE_SECONDS / expected))
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begin) / calls, calls


def _versions(library: str) -> dict[str, str]:
    from benchmarks.peers import LIBRARIES

    return {package: importlib.metadata.version(package) for package in LIBRARIES[library]}


def _die_with_parent() -> None:
    """Ask Linux to end this process when the coordinator ends: a suspended one would not see it go."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def main() -> None:
    """Answer until stdin ends."""
    _die_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        worker = Worker(sys.argv[1], int(sys.argv[2]))
        answer({"versions": _versions(sys.argv[1])})
    except Exception as error:  # missing, or broken in whatever way: it is left out
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    gc.disable()  # what there is to collect is collected between cases
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(worker, request.pop("do"))(**request))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
