"""The load of others: what a process of ours does is theirs to us."""

import sys
import time
from collections import namedtuple

import psutil
import pytest

from tinytorch.measure import load


def test_own_work_and_idle_time_do_not_count(monkeypatch):
    readings = iter([(100.0, 50.0, 7.0), (105.0, 60.0, 11.0), (105.0, 52.0, 11.0), (100.0, 50.0, 7.0)])
    monkeypatch.setattr(load, "_now", lambda: next(readings))
    counter = load.Load()
    assert counter.of_others() == (10 - 4) / 5
    assert counter.of_others() == 0  # rounding in the system's counters, never below nothing
    assert counter.of_others() == 0  # no time has passed


def test_idle_and_guests_are_not_busy(monkeypatch):
    times = {"user": 10.0, "system": 4.0, "idle": 100.0, "iowait": 5.0, "steal": 3.0, "guest": 2.0}
    made = namedtuple("Times", times)(**times)
    monkeypatch.setattr(psutil, "cpu_times", lambda: made)
    _, busy, _ = load._now()
    assert busy == 10 + 4 + 3  # what guests took is in the time of users


def test_work_of_another_process_counts():
    """At least what it says itself that it used; it may have to wait for a CPU, so it is looked at again."""
    other, seen = psutil.Popen([sys.executable, "-c", "while True: pass"]), []
    try:
        for _ in range(120):
            counter, begin, before = load.Load(), time.monotonic(), other.cpu_times().user
            time.sleep(0.5)
            used = other.cpu_times().user - before
            seen.append((used, counter.of_others() * (time.monotonic() - begin)))
            if used > 0.05 and seen[-1][1] > 0.7 * used:  # both are counted in ticks of a clock
                break
        else:
            pytest.fail(f"seconds used, and seconds seen: {seen}")
    finally:
        other.kill()
        other.wait()
