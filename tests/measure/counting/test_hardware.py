"""Hardware counters, with a kernel made up for the test; and what this machine says of its own."""

import errno
import os
import platform
import struct
import threading

import numpy as np
import pytest

from tinytorch.measure.counting import hardware, perf
from tinytorch.measure.counting.perf import Event, Group, Kernel

INTEL = "vendor_id : GenuineIntel\ncpu family : 6\nflags : fpu adx avx2\n"
OLD = "vendor_id : GenuineIntel\ncpu family : 6\nflags : fpu avx2\n"


def amd(family):
    return f"vendor_id : AuthenticAMD\ncpu family : {family}\nflags : fpu adx\n"


class FakeKernel(Kernel):
    """Counts what it is told per call: {config: value}, on each thread; running of enabled time."""

    def __init__(self, values=(), threads=(1, 2), running=100, refuse=None, ended=(), level=2):
        self.values, self.running, self.refuse, self.level = dict(values), running, refuse, level
        self.ids, self.ended, self.fds, self.calls, self.on = threads, ended, {}, {}, set()

    def threads(self):
        return list(self.ids)

    def open(self, attributes, thread, group):
        kind, size, config, _, _, form, flags, *_ = struct.unpack("=IIQQQQQIIQ", attributes)
        assert size == len(attributes) == 64 and form == 1 | 2 | 8
        assert flags & 0x60 == 0x60 and bool(flags & 1) == (group == -1)
        if self.refuse is not None and self.refuse[0] in (config, None):
            raise OSError(self.refuse[1], os.strerror(self.refuse[1]))
        if thread in self.ended:
            raise OSError(errno.ESRCH, "ended")
        fd = 1000 + len(self.calls)
        self.fds[fd], self.calls[fd] = (kind, config, group if group >= 0 else fd), 0
        return fd

    def control(self, descriptor, request):
        (self.on.add if request == perf.ENABLE else self.on.remove)(descriptor)
        self.calls[descriptor] += request == perf.DISABLE

    def read(self, descriptor, size):
        calls = self.calls[descriptor]
        members = [config for _, config, leader in self.fds.values() if leader == descriptor]
        running = self.running(calls) if callable(self.running) else self.running * calls
        values = [int(self.values.get(c, 0) * running / 100) for c in members]
        assert size == 8 * (3 + len(members))
        return struct.pack(f"={3 + len(members)}Q", len(members), 100 * calls, running, *values)

    def close(self, descriptor):
        del self.fds[descriptor]

    def paranoid(self):
        return self.level


@pytest.fixture(autouse=True)
def x86(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


COUNTS = {0: 500, 1: 900, 2: 40, 3: 6, 0x20C7: 10, 0x80C7: 4, 0x02C7: 6, 0x10C7: 2}


@pytest.mark.parametrize("running", [100, 50])
def test_intel(running):
    kernel = FakeKernel(COUNTS, running=running)
    counters, result = hardware.read_counters(lambda x: x + 1, (1,), {}, kernel, INTEL)
    assert result == 2 and not kernel.fds and not kernel.on
    assert sum(counters.floats.values()) == 2 * (10 + 4 + 6 + 2)  # two threads
    assert (counters.threads, counters.shared) == (2, running == 50)
    count, _ = hardware.count_hardware(lambda: None, (), {}, FakeKernel(COUNTS, running=running), INTEL)
    assert count.by == "hardware counters"
    assert count.operations == 2 * (10 * 8 + 4 * 16 + 6 + 2 * 4)
    assert count.dtype == np.float32
    assert ("took turns" in count.note) == (running == 50)
    assert count.cost.bytes == 0  # of which counters do not tell


@pytest.mark.parametrize(("family", "mask"), [(0x17, 0xFF), (0x19, 0x1F), (0x1A, 0x0F)])
def test_amd(family, mask):
    count, _ = hardware.count_hardware(lambda: None, (), {}, FakeKernel({mask << 8 | 3: 70}), amd(family))
    assert (count.operations, count.dtype) == (140, None)


def test_threads_that_end_are_left_out():
    counters, _ = hardware.read_counters(
        lambda: None, (), {}, FakeKernel(COUNTS, (1, 2, 3), ended=(2,)), INTEL
    )
    assert counters.threads == 2


def test_the_calling_thread_is_last():
    class Order(FakeKernel):
        def open(self, attributes, thread, group):
            seen.append(thread)
            return super().open(attributes, thread, group)

    seen = []
    hardware.read_counters(lambda: None, (), {}, Order(COUNTS, (threading.get_native_id(), 7)), INTEL)
    assert seen[0] == 7 and seen[-1] == threading.get_native_id()


def test_groups_that_wait_for_their_turn():
    kernel = FakeKernel({0x20C7: 500}, running=lambda calls: 100 * (calls - 2) if calls > 2 else 0)
    counters, _ = hardware.read_counters(lambda: None, (), {}, kernel, INTEL)
    # One call of three was counted, for all of them.
    assert counters.shared and sum(counters.floats.values()) == 2 * 500
    with pytest.raises(OSError, match="busy"):
        hardware.read_counters(lambda: None, (), {}, FakeKernel(COUNTS, running=0), INTEL)


def test_error_of_the_function():
    kernel, calls = FakeKernel(COUNTS), []

    def func():
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        hardware.read_counters(func, (), {}, kernel, INTEL)
    assert not kernel.fds and not kernel.on


@pytest.mark.parametrize(
    ("code", "level", "reason"),
    [
        (errno.ENOENT, 2, "shows no such counters"),
        (errno.EACCES, 3, "perf_event_paranoid is 3"),
        (errno.EPERM, 1, "forbids"),
        (errno.ENOSYS, 2, "no perf_event_open"),
        (errno.EMFILE, 2, "Too many open files"),
    ],
)
def test_refusals(code, level, reason):
    assert reason in hardware.available(FakeKernel(refuse=(None, code), level=level), INTEL)
    assert reason in hardware.available(FakeKernel(refuse=(0x80C7, code), level=level), INTEL)


def test_available(monkeypatch):
    kernel = FakeKernel()
    assert hardware.available(kernel, INTEL) is None and not kernel.fds
    assert "no counter of floating-point" in hardware.available(kernel, OLD)
    assert "no counter of floating-point" in hardware.available(kernel, amd(0x15))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "no counter of floating-point" in hardware.available(kernel, "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "riscv64" in hardware.available(kernel, "")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert hardware.available(kernel, INTEL) == "not Linux"


def test_group_gives_back_what_it_opened():
    kernel = FakeKernel(refuse=(1, errno.ENOENT))
    with pytest.raises(OSError):
        Group(kernel, [Event(0, 0), Event(0, 1)])
    assert not kernel.fds


def test_this_machine(monkeypatch):
    monkeypatch.undo()
    kernel = Kernel()
    reason = hardware.available()
    if reason is None:
        count, result = hardware.count_hardware(np.dot, (np.ones((64, 64)), np.ones((64, 64))))
        assert result[0, 0] == 64 and count.operations >= 64**3
    else:
        assert reason and "\n" not in reason
    if platform.system() == "Linux":
        assert threading.get_native_id() in kernel.threads()
        assert kernel.paranoid() is None or kernel.paranoid() >= -1
        if platform.machine() in ("x86_64", "aarch64"):
            with pytest.raises(OSError):
                kernel.open(Event(0xFFFF, 0).attributes(True), 0, -1)  # no such kind
