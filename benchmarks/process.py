"""The coordinator's end of a worker: started, asked, and suspended while another works.

Pools of threads go on spinning after a call, OpenBLAS's for 110 ms, and take the CPUs that the next library
needs. Rather than wait for that, a worker is stopped (SIGSTOP, or what the system has for it) unless it is
its turn: while times are taken only one runs. Against waits of 40 and 150 ms no library lost by it, and all
became steadier.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

#: Every library's own way to be told its number of threads before it is loaded.
_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "TINYTORCH_NUM_THREADS"),
)
#: Settings that would compare something else than what people install.
_REMOVED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "XLA_FLAGS")
#: No answer takes this long; a library that hangs is ended.
_LIMIT_SECONDS = 180.0
_ROOT = Path(__file__).resolve().parent.parent


class WorkerError(Exception):
    """A worker could not do what it was asked; it may still be asked for something else."""


class WorkerProcess:
    """One library with a number of threads."""

    def __init__(self, library: str, threads: int) -> None:
        self.library = library
        self.versions: dict[str, str] = {}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in stop)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", library, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=_ROOT,
            env=environment(threads),
            text=True,
        )
        self._handle = psutil.Process(self._process.pid)

    def greet(self) -> None:
        """Wait until the library is loaded; raises WorkerError if it cannot be."""
        self.versions = self.receive()["versions"]

    def resume(self) -> None:
        """Let the worker run."""
        self._signal(self._handle.resume)

    def suspend(self) -> None:
        """Stop the worker until it is resumed, whatever its threads are doing."""
        self._signal(self._handle.suspend)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask, let it run and return the answer; raises WorkerError for what went wrong."""
        self.resume()
        try:
            self.send(do, **arguments)
            return self.receive()
        finally:
            self.suspend()

    def send(self, do: str, **arguments: Any) -> None:
        """Ask without waiting for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._ended()) from None

    def receive(self) -> dict[str, Any]:
        """Return the answer; raises WorkerError for what went wrong."""
        assert self._process.stdout is not None
        timer = threading.Timer(_LIMIT_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise WorkerError(self._ended())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process, suspended or not, and wait, so that its CPU time counts as this process's."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(BrokenPipeError):  # a request that it did not read
                if stream is not None:
                    stream.close()

    def _signal(self, action: Callable[[], None]) -> None:
        # Where it has ended already, the next request tells.
        with suppress(psutil.NoSuchProcess):
            action()

    def _ended(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().strip().splitlines()[-1:]
        return " ".join((f"its process ended with status {status}", *last))


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: this one, with the number of threads in every library's words."""
    kept = {name: value for name, value in os.environ.items() if name not in _REMOVED}
    return kept | dict.fromkeys(_THREADS, str(threads))
