"""The load of others: what a process of ours does is theirs to us."""

import subprocess
import sys
import time

from tinytorch.measure.load import Load


def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_own_work_does_not_count():
    load, own = Load(), time.process_time()
    begin = time.monotonic()
    spin(0.5)
    share = (time.process_time() - own) / (time.monotonic() - begin)
    with_own = load.of_others() + share
    assert with_own >= share  # others may be busy too; ours is not among them
    assert load.of_others() < with_own


def test_work_of_another_process_counts():
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        load = Load()
        time.sleep(1)
        assert load.of_others() > 0.3
    finally:
        other.kill()
        other.wait()
