"""What this computer says of itself, and what it says when the system tells nothing."""

import json
from pathlib import Path

from tinytorch.machine import info


def test_this_machine():
    machine = info.describe()
    json.dumps(machine.as_dict())
    assert machine.usable_cpus <= machine.cpus
    assert machine.memory > 1 << 28
    assert set(machine.caches) == {"l1", "l2", "l3"}
    assert machine.versions["numpy"]


def test_a_system_that_tells_nothing(monkeypatch):
    monkeypatch.setattr(info, "_lines", lambda _: [])
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    machine = info.describe()
    assert machine.caches == {"l1": None, "l2": None, "l3": None}
    assert machine.cpu is None or machine.cpu
