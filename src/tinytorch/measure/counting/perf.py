"""Groups of hardware counters through Linux' `perf_event_open(2)`, one group for one thread.

A group's counters run at the same time or not at all; where a CPU has too few registers, groups take turns,
and what they count is scaled by the time they had.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytorch.machine.files import names, number, read

_SYSCALL = {"x86_64": 298, "AMD64": 298, "aarch64": 241}
HARDWARE, RAW = 0, 4  # perf_type_id
_DISABLED, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 0, 1 << 5, 1 << 6
_TIME_ENABLED, _TIME_RUNNING, _GROUP = 1 << 0, 1 << 1, 1 << 3  # read_format
_CLOSE_ON_EXEC = 1 << 3
ENABLE, DISABLE = 0x2400, 0x2401
_WHOLE_GROUP = 1
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class Event:
    """What one counter counts: perf's type and its config."""

    kind: int
    config: int

    def attributes(self, first: bool) -> bytes:
        """Return the first version of `struct perf_event_attr`, which all kernels take; user space alone."""
        flags = _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR | (_DISABLED if first else 0)
        read_format = _TIME_ENABLED | _TIME_RUNNING | _GROUP
        return struct.pack("=IIQQQQQIIQ", self.kind, 64, self.config, 0, 0, read_format, flags, 0, 0, 0)


class Kernel:
    """The system calls, so that a test can stand in for them."""

    def threads(self) -> list[int]:
        """Return the ids of this process's threads."""
        return [int(name) for name in names(_TASKS)]

    def open(self, attributes: bytes, thread: int, group: int) -> int:
        """Open a counter on a thread (0: the calling one), in the group of another or -1; raises OSError."""
        library = ctypes.CDLL(None, use_errno=True)
        library.syscall.restype = ctypes.c_long
        arguments = map(ctypes.c_long, (_SYSCALL[platform.machine()], thread, -1, group, _CLOSE_ON_EXEC))
        call, *rest = arguments
        descriptor = library.syscall(call, ctypes.create_string_buffer(attributes, len(attributes)), *rest)
        if descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(descriptor)

    def control(self, descriptor: int, request: int) -> None:
        """Start or stop a group."""
        import fcntl  # there is none on Windows, nor such counters

        fcntl.ioctl(descriptor, request, _WHOLE_GROUP)

    def read(self, descriptor: int, size: int) -> bytes:
        """Read a group's values."""
        return os.read(descriptor, size)

    def close(self, descriptor: int) -> None:
        """Give a counter back."""
        os.close(descriptor)

    def paranoid(self) -> int | None:
        """Return the kernel's setting, from -1 (all may count) to 4 (nobody may)."""
        text = read(_PARANOID)
        return -1 if text == "-1" else number(text)


def refusal(error: OSError, kernel: Kernel) -> str:
    """Say in one phrase why the kernel opened no counter."""
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL):
        return "this machine, or the virtual machine that it is, shows no such counters"
    if error.errno == errno.ENOSYS:
        return "this kernel has no perf_event_open"
    if error.errno in (errno.EACCES, errno.EPERM):
        level = kernel.paranoid()
        if level is not None and level > 2:
            return f"perf_event_paranoid is {level}"
        return "the system forbids perf_event_open here, as containers do"
    return f"perf_event_open failed: {error.strerror}"


@dataclass(frozen=True)
class Reading:
    """What a group counted on one thread; times in nanoseconds."""

    values: tuple[int, ...]
    enabled: int
    running: int

    @property
    def missing(self) -> bool:
        """Whether the thread ran and the group never did."""
        return self.running == 0 < self.enabled

    @property
    def scaled(self) -> tuple[float, ...]:
        """The values as they would be had the group run all the time.

        >>> Reading((10, 20), enabled=300, running=100).scaled
        (30.0, 60.0)
        """
        share = self.enabled / self.running if self.running else 0.0
        return tuple(value * share for value in self.values)


class Group:
    """Counters that start and stop together on one thread; raises OSError if they cannot be had."""

    def __init__(self, kernel: Kernel, events: Sequence[Event], thread: int = 0) -> None:
        self._kernel = kernel
        self._descriptors: list[int] = []
        try:
            for event in events:
                first = not self._descriptors
                leader = -1 if first else self._descriptors[0]
                self._descriptors.append(kernel.open(event.attributes(first), thread, leader))
        except OSError:
            self.close()
            raise

    def start(self) -> None:
        """Count from now on."""
        self._kernel.control(self._descriptors[0], ENABLE)

    def stop(self) -> None:
        """Count no more."""
        self._kernel.control(self._descriptors[0], DISABLE)

    def read(self) -> Reading:
        """Return what was counted since the group was opened."""
        count = len(self._descriptors)
        data = self._kernel.read(self._descriptors[0], 8 * (3 + count))
        _, enabled, running, *values = struct.unpack(f"={3 + count}Q", data)
        return Reading(tuple(values), enabled, running)

    def close(self) -> None:
        """Give the counters back."""
        for descriptor in reversed(self._descriptors):
            self._kernel.close(descriptor)
        self._descriptors.clear()


def callable_here() -> str | None:
    """Say why `perf_event_open` cannot be called on this system at all; None if it can."""
    if platform.system() != "Linux":
        return "not Linux"
    if platform.machine() not in _SYSCALL:
        return f"no perf_event_open known for {platform.machine()}"
    return None
