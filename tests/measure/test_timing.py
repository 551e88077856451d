"""Timing: what is compared, in which order, and what is refused."""

import json
import time

import pytest

from tinytorch.measure import Measurement, WrongResultError, compare, timing


def test_statistics():
    measurement = Measurement("f", (1.0, 2.0, 3.0, 4.0, 5.0), 1)
    assert (measurement.median, measurement.minimum, measurement.iqr) == (3.0, 1.0, 2.0)
    assert not measurement.stable
    assert Measurement("f", (1.0, 1.01, 1.02, 1.01, 1.0), 1).stable
    assert not Measurement("f", (1.0, 1.0, 1.0), 1).stable
    assert json.loads(json.dumps(measurement.as_dict()))["count"] == 5


def test_functions_take_turns(monkeypatch):
    monkeypatch.setattr(timing, "REST_SECONDS", 0)
    order = []
    compare({"a": lambda: None, "b": lambda: None}, rounds=6, on_sample=order.append)
    assert [set(order[i : i + 2]) for i in range(0, 12, 2)] == [{"a", "b"}] * 6
    assert order[::2] != ["a"] * 6  # in random order within a round


def test_a_slow_function_gets_few_samples(monkeypatch):
    monkeypatch.setattr(timing, "REST_SECONDS", 0)
    measured = compare({"slow": lambda: time.sleep(0.02), "fast": lambda: None}, seconds=0.05, rounds=10)
    assert len(measured["slow"].samples) == 3
    assert len(measured["fast"].samples) == 10
    assert measured["slow"].minimum >= 0.02
    assert measured["fast"].calls > 100


def test_a_wrong_result_is_not_timed():
    timed = []
    with pytest.raises(WrongResultError, match="b: not one"):
        compare(
            {"a": lambda: 1, "b": lambda: 2},
            check=lambda _, result: None if result == 1 else "not one",
            on_sample=timed.append,
        )
    assert timed == []
