"""The witness: it tells of a clock that drifts and of samples that were interrupted."""

import sys
import types

import pytest

from tinytorch.measure import witness
from tinytorch.measure.clocks import CudaClock, WallClock, clock_for
from tinytorch.measure.witness import Witness, clock_hertz, switches


def test_the_clock_is_one_that_a_cpu_may_have():
    assert 1e8 < max(clock_hertz() for _ in range(20)) < 1e10
    assert switches() >= 0


def watched(monkeypatch, readings, interrupted=(), samples=10):
    monkeypatch.setattr(witness, "clock_hertz", lambda: next(source))
    source = iter([1.0, *(r for reading in readings for r in (reading, reading / 2))])
    found = Witness()
    for _ in readings:
        found.round()
    for i in range(samples):
        found.sample("f", int(i in interrupted))
    return found


def test_a_steady_clock(monkeypatch):
    found = watched(monkeypatch, [2e9] * 9)
    assert found.disturbances("f") == ()
    assert found.clock == 2e9


def test_a_drifting_clock(monkeypatch):
    found = watched(monkeypatch, [3e9] * 3 + [2.8e9] * 3 + [2.5e9] * 3)
    assert found.disturbances("f") == ("the clock drifted from 3.00 to 2.50 GHz",)
    assert watched(monkeypatch, [3e9, 2e9]).disturbances("f") == ()  # too few to tell


def test_interruptions(monkeypatch):
    assert watched(monkeypatch, [2e9] * 9, {0, 1}).disturbances("f") == ()
    found = watched(monkeypatch, [2e9] * 9, {0, 1, 2})
    assert found.disturbances("f") == ("interrupted by other work in 3 of 10 samples",)
    assert found.disturbances("other") == ()


class Event:
    now = 0.0

    def __init__(self, enable_timing=True):
        self.at = None

    def record(self):
        self.at = Event.now

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return end.at - self.at


def test_arrays_on_a_gpu_are_timed_by_its_events(monkeypatch):
    torch = types.SimpleNamespace(cuda=types.SimpleNamespace(Event=Event))
    monkeypatch.setitem(sys.modules, "torch", torch)
    tensor = types.SimpleNamespace(device=types.SimpleNamespace(type="cuda"))
    clock = clock_for([1, tensor])
    assert isinstance(clock, CudaClock)

    def kernel(milliseconds):
        Event.now += milliseconds

    assert clock.time([(kernel, (3.0,), {}), (kernel, (4.0,), {})]) == pytest.approx(7e-3)


def test_anything_else_is_timed_by_the_wall():
    assert isinstance(clock_for([1, types.SimpleNamespace(device="cpu")]), WallClock)
