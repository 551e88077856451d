"""The load of others: what a process of ours does is theirs to us."""

import subprocess
import sys
import time

from tinytorch.measure import load


def test_own_work_and_idle_time_do_not_count(monkeypatch):
    readings = iter([(100.0, 50.0, 7.0), (105.0, 60.0, 11.0), (105.0, 52.0, 11.0), (100.0, 50.0, 7.0)])
    monkeypatch.setattr(load, "_now", lambda: next(readings))
    counter = load.Load()
    assert counter.of_others() == (10 - 4) / 5
    assert counter.of_others() == 0  # rounding in the system's counters, never below nothing
    assert counter.of_others() == 0  # no time has passed


def test_work_of_another_process_counts():
    other, shares = subprocess.Popen([sys.executable, "-c", "while True: pass"]), [0.0]
    try:
        while max(shares) <= 0.3 and len(shares) < 120:  # it may have to wait for a CPU
            counter = load.Load()
            time.sleep(0.5)
            shares.append(counter.of_others())
        assert max(shares) > 0.3
    finally:
        other.kill()
        other.wait()
