"""The scripts that show how far verdicts and places can be trusted."""

import sys
from functools import partial

import pytest

from benchmarks import roofs, verdicts
from tests.roofs import made, measured_there
from tinytorch.measure import compare
from tinytorch.profiler.profile import profile
from tinytorch.runtime import threads


def test_verdicts(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["verdicts", "--runs", "4"])
    monkeypatch.setattr(verdicts, "compare", partial(compare, seconds=0.05, rounds=8))
    assert verdicts.main() == 0
    told = capsys.readouterr().out
    for name in verdicts.works():
        assert name in told
    assert "of 4" in told


def test_the_slower_one_does_more():
    for make in verdicts.works().values():
        assert make(1.0)() is not make(1.05)
        assert callable(make(1.05))


def test_roofs(monkeypatch, capsys):
    monkeypatch.setattr(threads, "_chosen", 2)
    monkeypatch.setattr(roofs, "LARGE", 1 << 20)

    def made_up(function, *args, name, **options):
        """Profile on a machine where a chase takes 90 ns a load, and Python most of a loop's time."""
        measured_there(monkeypatch, 50_000 * 90e-9, share=0.9 if function is roofs.loop else 0.0)
        return profile(function, *args, name=name, known=made(), seconds=0.01, **options)

    monkeypatch.setattr(roofs, "profile", made_up)
    assert roofs.main() == 0
    lines = capsys.readouterr().out.splitlines()
    bounds = {line[:18].strip(): line[62:].strip() for line in lines[1:] if not line.startswith("  ")}
    assert set(bounds) == {name for name, *_ in roofs.cases()}
    assert bounds["loop in Python"] == "call overhead"
    assert bounds["pointer chase"].startswith("latency")


def test_the_way_leads_everywhere():
    following = roofs.way(100)
    at, seen = 0, set()
    for _ in range(100):
        at = int(following[at])
        seen.add(at)
    assert len(seen) == 100
    assert roofs.chase.py_func(following, 100) == 0
    assert roofs.loop([1.0, 2.0]) == 3.0


def test_the_cost_of_the_triad(monkeypatch):
    monkeypatch.setattr(roofs, "LARGE", 3 << 20)
    _, cost = roofs.triad()
    assert cost.read == pytest.approx(2 << 20, rel=1e-2)
    assert cost.read == 2 * cost.written
    assert cost.operations == cost.written // 2
