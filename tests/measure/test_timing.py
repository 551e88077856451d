"""Timing: what is compared, in which order, on what inputs, and what is refused."""

import contextlib

import numpy as np
import pytest

from tinytorch.measure import WrongResultError, benchmark, clocks, compare, timing
from tinytorch.measure.timing import unchecked


class MadeClock:
    """A clock that moves by what functions say that they take, whatever the machine does."""

    def __init__(self):
        self.now = 0.0

    def takes(self, seconds, function=lambda *_, **__: None):
        def timed(*args, **kwargs):
            self.now += seconds
            return function(*args, **kwargs)

        return timed

    def perf_counter(self):
        return self.now

    def process_time(self):
        return 0.0

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = MadeClock()
    for module in (timing, clocks):
        monkeypatch.setattr(module, "time", made)
    return made


def test_functions_take_turns(clock):
    order, brief = [], clock.takes(1e-5)
    compare({"a": brief, "b": brief}, rounds=6, on_sample=order.append)
    assert [set(order[i : i + 2]) for i in range(0, 12, 2)] == [{"a", "b"}] * 6
    assert order[::2] != ["a"] * 6  # in random order within a round


def test_a_slow_function_gets_few_samples(clock):
    measured = compare({"slow": clock.takes(0.02), "fast": clock.takes(1e-5)}, seconds=0.06, rounds=10)
    assert measured["slow"].samples == pytest.approx([0.02] * 3)
    assert measured["fast"].samples == pytest.approx([1e-5] * 10)
    assert measured["slow"].calls == 1
    assert measured["fast"].calls in (400, 401)  # of 4 ms, rounded up


def test_a_wrong_result_is_not_timed():
    timed = []
    with pytest.raises(WrongResultError, match="b: not one"):
        compare(
            {"a": lambda: 1, "b": lambda: 2},
            check=lambda _, result: None if result == 1 else "not one",
            on_sample=timed.append,
        )
    assert timed == []


def test_results_are_held_against_the_first_or_a_reference():
    x = np.ones(3)
    with pytest.raises(WrongResultError, match=r"b: 2.0 instead of 1.0"):
        compare({"a": lambda x: x, "b": lambda x: 2 * x}, x)
    with pytest.raises(WrongResultError, match="only: "):
        compare({"only": np.negative}, x, reference=x)
    with pytest.raises(WrongResultError, match="negative: "):
        benchmark(np.negative, x, reference=np.positive)
    compare({"a": lambda x: x, "b": lambda x: x * (1 + 1e-14)}, x, seconds=0.001, rounds=3)
    compare({"a": lambda x: x, "b": lambda x: 1.1 * x}, x, seconds=0.001, rounds=3, tolerance=0.2)
    compare({"a": lambda x: x, "b": lambda x: 2 * x}, x, seconds=0.001, rounds=3, check=unchecked)


def test_a_reference_sees_inputs_that_nobody_has_changed():
    def double(x):
        x *= 2
        return x.copy()

    benchmark(double, np.ones(3), reference=np.full(3, 2.0), inputs="fresh", seconds=0.01, rounds=3)


def test_same_inputs_are_the_same_objects():
    seen = set()
    x = np.zeros(4)
    benchmark(lambda x: seen.add(id(x)), x, seconds=0.001, rounds=3)
    assert seen == {id(x)}


def test_fresh_inputs_are_copies_at_each_call(clock):
    x = np.zeros(4)

    def once(x, y):
        assert x[0] == 0
        x[0] = 1
        y.append(1)
        return len(y)

    once = clock.takes(1e-5, once)
    measured = benchmark(once, x, kwargs={"y": []}, inputs="fresh", seconds=0.001, rounds=3)
    assert x[0] == 0
    assert measured.calls > 1


def test_rotated_inputs_are_more_than_a_cache_holds(monkeypatch, clock):
    from tinytorch.measure import inputs

    monkeypatch.setattr(inputs, "beyond_cache", lambda: 10 * 800)
    seen = []
    note = clock.takes(1e-5, lambda x: seen.append(id(x)))
    benchmark(note, np.zeros(100), inputs="rotated", seconds=0.001, rounds=3)
    assert len(set(seen)) == 10
    assert seen[:10] == seen[10:20]


def test_flushed_samples_are_of_one_call():
    measured = benchmark(np.sum, np.zeros(1000), flushed=True, seconds=0.001, rounds=3)
    assert measured.calls == 1


def test_contexts_are_entered_around_their_own_function():
    state = []

    @contextlib.contextmanager
    def within(name):
        state.append(name)
        yield
        state.pop()

    seen = {"a": set(), "b": set()}
    compare(
        {name: lambda name=name: seen[name].add(tuple(state)) for name in seen},
        within={"a": lambda: within("mine")},
        seconds=0.001,
        rounds=3,
    )
    assert seen == {"a": {("mine",)}, "b": {()}}
    assert state == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 2}, "rounds must be at least 3, not 2"),
        ({"inputs": "new"}, "inputs must be .* not 'new'"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        benchmark(len, [], **options)


def test_nothing_to_time():
    with pytest.raises(ValueError, match="no function"):
        compare({})


def test_what_is_no_function():
    with pytest.raises(TypeError, match="'b' must be a function, not int"):
        compare({"a": len, "b": 3}, [])
    with pytest.raises(TypeError, match="'func' must be a function, not int"):
        benchmark(3)


def test_an_error_of_the_function_is_its_own():
    with pytest.raises(ZeroDivisionError):
        benchmark(lambda: 1 / 0)
