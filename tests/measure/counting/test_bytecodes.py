"""The interpreter's share of calls that are nearly all interpreter, or nearly none."""

import itertools
import sys
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from tinytorch.measure.counting import bytecodes
from tinytorch.measure.counting.bytecodes import interpreter

VALUES = [float(i) for i in range(100_000)]
ARRAY = np.arange(100_000.0)


@pytest.fixture
def ticks(monkeypatch):
    """A clock that moves a microsecond each time it is read, so that any bytecode takes one, traced.

    Native code takes more where it takes ticks itself; untraced, a bytecode takes 10 ns.
    """
    made = itertools.count(0.0, 1e-6)
    monkeypatch.setattr(bytecodes, "time", SimpleNamespace(perf_counter=made.__next__))
    monkeypatch.setattr(bytecodes, "_bytecode", lambda: bytecodes._Bytecode(1e-8, 1e-6))
    return made


def over_a_list():
    total = 0.0
    for x in VALUES:
        total += x if x > 0 else 0.0
    return total


def over_an_array():
    out = np.empty(len(ARRAY))
    for i in range(len(ARRAY)):
        out[i] = ARRAY[i] if ARRAY[i] > 0 else 0
    return out


@pytest.mark.usefixtures("ticks")
@pytest.mark.parametrize("func", [over_a_list, over_an_array])
def test_python_loops(func):
    found = interpreter(func, seconds=1e-2)
    assert found.share == pytest.approx(1)
    assert found.seconds == pytest.approx(1e-2)
    assert (found.bytecodes, found.complete) == (bytecodes.LIMIT, False)


def test_short_loop_is_complete():
    found = interpreter(lambda: sum(x * x for x in VALUES[:1000]), seconds=1e-4)
    assert found.complete and 3000 < found.bytecodes < 20_000
    assert 0 < found.share <= 1  # how much is for a machine to tell that does nothing else
    assert found.seconds == pytest.approx(found.share * 1e-4)


@pytest.mark.parametrize(("taken", "least", "most"), [(1, 0.9, 1), (1000, 0, 0.02)])
def test_what_takes_long_is_native(ticks, taken, least, most):
    """A call that takes no longer than other bytecodes is the interpreter's."""

    def call():
        for _ in range(50):
            deque(itertools.islice(ticks, taken), maxlen=0)

    assert least <= interpreter(call, seconds=1.0).share <= most


@pytest.mark.parametrize("calls", [1, 20])
def test_native_code(calls):
    a = np.ones((512, 512))
    found = interpreter(lambda: [a @ a for _ in range(calls)], seconds=1e-3 * calls)
    assert found.complete and found.share < 0.1 and found.seconds < 1e-4 * calls


def test_limit():
    found = interpreter(over_a_list, seconds=1.0, limit=1000)
    assert (found.bytecodes, found.complete) == (1000, False)
    whole = interpreter(lambda: 1, seconds=1.0)
    again = interpreter(lambda: 1, seconds=1.0, limit=whole.bytecodes)
    assert again.complete and again.bytecodes == whole.bytecodes
    assert interpreter(lambda: None, seconds=0.0).seconds == 0


def test_function_ends_after_the_limit():
    seen = []
    interpreter(lambda: [seen.append(i) for i in range(500)], seconds=1.0, limit=50)
    assert len(seen) == 500


def test_trace_function_comes_back():
    before, events = sys.gettrace(), []

    def mine(frame, event, arg):
        events.append(event)
        return mine

    sys.settrace(mine)
    try:
        interpreter(over_a_list, seconds=1.0, limit=100)
        assert sys.gettrace() is mine
        with pytest.raises(ZeroDivisionError):
            interpreter(lambda: 1 / 0, seconds=1.0)
        assert sys.gettrace() is mine
    finally:
        sys.settrace(before)
    assert "call" in events


def test_native_function_has_no_bytecodes():
    found = interpreter(sorted, (VALUES,), {"reverse": True}, seconds=1.0)
    assert (found.bytecodes, found.share) == (0, 0.0)


def test_arguments():
    with pytest.raises(ValueError, match="limit must be at least 1"):
        interpreter(over_a_list, seconds=1.0, limit=0)
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds must be a time"):
            interpreter(over_a_list, seconds=seconds)
    assert interpreter(lambda: 1, seconds=1.0).as_dict()["complete"] is True
