"""A process that is not trusted, from outside: started, asked, watched, and ended with all that it started.

Threads read what it writes, so that nothing it does or leaves undone can block the one that asks.
"""

import contextlib
import json
import os
import queue
import secrets
import site
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from tinytorch.course.running import wire
from tinytorch.course.subject import NotRunError, WrongError
from tinytorch.runtime import folders


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds, and bytes."""

    call: float = 20.0  # one call, compiling included
    load: float = 30.0  # running one cell
    total: float = 300.0  # all that is done for a submission
    memory: int = 2 << 30
    file: int = 16 << 20  # each that it writes
    folder: int = 128 << 20  # all of them
    answer: int = 64 << 20  # the arrays that one call returns


#: Seconds that the process may take to start: it imports numba, on a machine that may be busy.
_START = 120.0
#: Seconds between two looks at its memory. It can take a gigabyte in a second.
_PAUSE = 0.05
#: A look at the processes it started and its files costs more; one in so many.
_SELDOM = 10
_KEPT = 64 << 10
#: Tries to remove its folder: Windows holds files for a while after the process that had them has ended.
_REMOVALS = 20
#: Files that it may make, and threads: libraries start as many as there are CPUs, each of them.
_FILES, _THREADS = 10_000, 512 + 8 * (os.cpu_count() or 1)
#: A message that fits into any pipe which has been read empty; a longer one is written by a thread.
_SHORT = 4096
#: Kept of the environment: where libraries are, and how many threads to use.
_PASSED = (
    *(
        "SYSTEMROOT",
        "WINDIR",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "CONDA_PREFIX",
        "CUDA_HOME",
        "CUDA_PATH",
    ),
    *("LANG", "LC_ALL", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "OMP_NUM_THREADS"),
)
#: In the environment of all that it starts, so that they are found whatever they do.
_MARK = "TINYTORCH_SUBMISSION"

FORGED = "it wrote into the channel of the checks"
CRASHED = (
    "the process ended: a crash in compiled code, e.g. an index out of range, or exit(). To find the index, "
    "write `import numba; numba.config.BOUNDSCHECK = 1` in the first exported cell"
)


class EndedError(Exception):
    """The process is no more; the message says why, as a learner is told it."""


class Process:
    """A worker in a folder; `module` is what it is run as."""

    def __init__(self, folder: Path, limits: Limits, confined: bool) -> None:
        self._limits, self._folder = limits, folder
        self._mark = secrets.token_hex(16)
        self._number = 0
        self._why = ""  # it was ended by this process
        self._over = threading.Event()
        plan = {
            "folder": str(folder),
            "confined": confined,
            "memory": limits.memory,
            "file": limits.file,
            "answer": limits.answer,
            "seconds": limits.total + _START,
            "cache": str(folders.cache()),
        }
        self._child = subprocess.Popen(
            [sys.executable, *_isolated(), "-m", "tinytorch.course.running.worker", json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=folder,
            env=self._environment(),
            start_new_session=os.name == "posix",
        )
        self._answers: queue.Queue[dict[str, Any] | Exception] = queue.Queue(2)
        self._printed = bytearray()
        self._descendants: dict[int, psutil.Process] = {}
        threads = [
            threading.Thread(target=target, daemon=True) for target in (self._drain, self._read, self._watch)
        ]
        for thread in threads:
            thread.start()
        try:
            self.layers: Sequence[str] = self._answer(_START)["value"]
        except (EndedError, WrongError):
            self.end()
            threads[0].join(1.0)
            raise NotRunError(f"the process for the checks did not start: {self.printed()[-500:]}") from None

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._child.pid

    def printed(self) -> str:
        """Return the first that it printed."""
        return bytes(self._printed).decode(errors="replace")

    def ask(self, limit: float, do: str, /, **request: Any) -> Any:
        """Send a request and return the answer: the message that came.

        Raises EndedError if the process ends or takes too long, WrongError for what is no answer.
        """
        self._number += 1
        self._send(wire.packed({"number": self._number, "do": do, **request}))
        return self._answer(limit)

    def end(self, why: str = "") -> None:
        """End it, and what it started."""
        self._why = self._why or why
        self._over.set()
        self._look_for_descendants()
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, 9)
        self._child.kill()
        for one in [*self._descendants.values(), *self._marked()]:
            with contextlib.suppress(psutil.Error):
                one.kill()
        self._child.wait()
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def _environment(self) -> dict[str, str]:
        home = str(self._folder)
        own = {"HOME": home, "USERPROFILE": home, "TMPDIR": home, "TMP": home, "TEMP": home}
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        if site.ENABLE_USER_SITE:
            own["PYTHONUSERBASE"] = site.getuserbase()
        return {**passed, **own, "TINYTORCH_CACHE_DIR": str(folders.cache()), _MARK: self._mark}

    def _send(self, content: bytes) -> None:
        if len(content) <= _SHORT:
            self._write(content)
        else:
            threading.Thread(target=self._write, args=(content,), daemon=True).start()

    def _write(self, content: bytes) -> None:
        assert self._child.stdin is not None
        left = memoryview(content)
        try:
            while left:
                left = left[self._child.stdin.write(left) :]
        except (OSError, ValueError):
            pass  # it has ended, which whoever waits for the answer is told

    def _answer(self, seconds: float) -> Any:
        try:
            answer = self._answers.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            self.end(f"it took more than {seconds:.3g} s: a loop that does not end?")
            raise EndedError(self._why) from None
        if isinstance(answer, EOFError):
            self._ended()
        if isinstance(answer, Exception) or answer.get("number") != self._number:
            self.end()
            raise WrongError(FORGED)
        return answer

    def _ended(self) -> None:
        """Raise EndedError for a channel that was closed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(0.5)
        closed = self._child.poll() is None
        self.end()
        raise EndedError(self._why or ("it closed the channel of the checks" if closed else CRASHED))

    def _read(self) -> None:
        """Read messages until there are none."""
        assert self._child.stdout is not None
        file = self._child.stdout

        def read(count: int) -> bytes:
            content = bytearray()
            while len(content) < count:
                part = file.read(min(count - len(content), 1 << 20))
                if not part:
                    raise EOFError
                content += part
            return bytes(content)

        with file:
            more = True
            while more:
                answer: dict[str, Any] | Exception
                try:
                    answer = wire.unpacked(read, self._limits.answer)
                except wire.MalformedError as error:
                    answer, more = error, False
                except (EOFError, OSError):
                    answer, more = EOFError(), False
                more = self._hand_over(answer) and more

    def _hand_over(self, answer: dict[str, Any] | Exception) -> bool:
        """Put an answer where it is waited for; False if there is nobody any more."""
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                self._answers.put(answer, timeout=1.0)
                return True
        with contextlib.suppress(queue.Full):
            self._answers.put_nowait(answer)
        return False

    def _drain(self) -> None:
        """Keep the first of what it prints, and drop the rest."""
        file: IO[bytes] | None = self._child.stderr
        assert file is not None
        with file, contextlib.suppress(OSError, ValueError):
            while part := file.read(1 << 16):
                self._printed += part[: _KEPT - len(self._printed)]

    def _watch(self) -> None:
        """End it when it takes more than it may."""
        looks = 0
        while not self._over.wait(_PAUSE):
            looks += 1
            if looks % _SELDOM == 0:
                self._look_for_descendants()
                self._look_at_files_and_threads()
            if self._memory() > self._limits.memory:
                self.end(f"it took more than {self._limits.memory / 2**30:.3g} GB of memory")

    def _look_at_files_and_threads(self) -> None:
        nameless = _nameless(self.pid, self._folder, self._limits.file)
        if _larger(self._folder, self._limits.folder - nameless):
            self.end(f"it wrote more than {self._limits.folder >> 20} MB of files")
        with contextlib.suppress(psutil.Error):
            if psutil.Process(self.pid).num_threads() > _THREADS:
                self.end(f"it started more than {_THREADS} threads")

    def _memory(self) -> int:
        used = 0
        with contextlib.suppress(psutil.Error):
            used = psutil.Process(self.pid).memory_info().rss
        for one in list(self._descendants.values()):
            with contextlib.suppress(psutil.Error):
                used += one.memory_info().rss
        return used

    def _look_for_descendants(self) -> None:
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(self.pid).children(recursive=True):
                self._descendants[one.pid] = one

    def _marked(self) -> list[psutil.Process]:
        """Return the processes with its mark: those that left its group and lost their parent."""
        if "system calls" in getattr(self, "layers", ()):
            return []
        found = []
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if one.environ().get(_MARK) == self._mark:
                    found.append(one)
        return found


def _isolated() -> list[str]:
    """Return what keeps Python from importing what lies about, but not what `pip install --user` brought.

    As the environment holds no variable of Python's but that, this is -I with the user's own libraries.
    """
    return ["-P"] if site.ENABLE_USER_SITE else ["-P", "-s"]


def _nameless(pid: int, folder: Path, most: int) -> int:
    """Return the bytes of the files that a process has removed and still holds, open or mapped (Linux).

    Of a mapped one the system does not tell the size: it counts as the most that a file may have.
    """
    size, own, seen = 0, os.path.realpath(folder), set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and not status.st_nlink and status.st_ino not in seen:
                    size += status.st_blocks * 512
                    seen.add(status.st_ino)
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/maps").open("rb") as lines:
        for line in lines:  # where, may, offset, device, inode, path
            parts = line.split(maxsplit=5)
            if line.endswith(b" (deleted)\n") and parts[5].startswith(os.fsencode(own) + b"/"):
                size += most * (int(parts[4]) not in seen)
                seen.add(int(parts[4]))
    return size


def _larger(folder: Path, limit: int) -> bool:
    """Say whether the files in a folder take more than so many bytes, or are too many to look at."""
    size, waiting, looked = 0, [folder], 0
    if limit < 0:
        return True
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                looked += 1
                status = entry.stat(follow_symlinks=False)
                size += status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size
                if size > limit or looked > _FILES:
                    return True
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
    return False


def remove(folder: Path) -> None:
    """Remove a folder that something hostile has filled: deep beyond any path's length, closed to its owner.

    Folders in it are brought up to it before they are looked into, so that no path gets long.
    """
    for _ in range(_REMOVALS):
        with contextlib.suppress(OSError):
            folder.chmod(0o700)
            while entries := list(os.scandir(folder)):
                for entry in entries:
                    _remove_entry(folder, entry)
            folder.rmdir()
        if not folder.exists():
            return
        time.sleep(_PAUSE)


def _remove_entry(top: Path, entry: os.DirEntry[str]) -> None:
    path = Path(entry.path)
    if not entry.is_dir(follow_symlinks=False):
        path.unlink()
        return
    path.chmod(0o700)
    for below in os.scandir(path):
        if below.is_dir(follow_symlinks=False):
            Path(below.path).chmod(0o700)  # to rename a folder is to write its `..`
            Path(below.path).rename(top / secrets.token_hex(8))
        else:
            Path(below.path).unlink()
    path.rmdir()
