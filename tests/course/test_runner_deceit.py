"""Nobody is deceived: by the clock, NumPy, the yardstick, kept answers, patched checks."""

import textwrap

import numpy as np
import pytest

from tests.course.in_runner import HONEST, IMPORTS
from tinytorch.course.running.runner import Limits, Runner
from tinytorch.course.subject import (
    Call,
    Probe,
    RaisedError,
    WrongError,
)

SLOW = """
def slow(x):
    y = np.empty_like(x)
    for i in range(x.size):
        y[i] = max(x[i], 0)
    return y
"""


def ratio_of(*cells, size=20_000, **limits):
    x = np.random.default_rng(1).standard_normal(size).astype(np.float32)
    with Runner([IMPORTS, SLOW, *cells], limits=Limits(**limits)) as learner:
        return learner.ratio(Call("slow", (x,)), Call(Probe("relu_in_python"), (x,))).value


def test_a_patched_clock_makes_nothing_faster():
    patch = """
    for name in ("perf_counter", "time", "monotonic", "process_time", "perf_counter_ns", "thread_time"):
        setattr(time, name, lambda: 0.0)
    """
    assert ratio_of(textwrap.dedent(patch)) > 0.5


@pytest.mark.parametrize("how", ["longer", "times four"])
def test_a_yardstick_that_was_slowed_down_is_of_no_use(how):
    patch = f"""
    from tinytorch.course import probes
    honest = probes.relu_in_python
    def slower(x):
        if "{how}" == "longer":
            time.sleep(0.3)
        return [honest(x) for _ in range(4)][0]
    probes.relu_in_python = slower
    """
    assert ratio_of(textwrap.dedent(patch)) > 0.5


def test_work_that_goes_on_in_the_background_is_noticed():
    patch = """
    calculate = slow
    def slow(x):
        y = np.empty_like(x)
        def work():
            y[:] = calculate(x)
        threading.Thread(target=work).start()
        return y
    from tinytorch.course import calling
    honest = calling.plain
    def plain(value):
        for one in threading.enumerate():
            if one.name.startswith("Thread") and "work" in one.name:
                one.join()
        return honest(value)
    calling.plain = plain
    """
    with pytest.raises(WrongError, match="outside of the call that is timed"):
        ratio_of(textwrap.dedent(patch), size=300_000)


def test_every_round_is_seen():
    sloppy = """
    def careful(x, n):
        return x * n
    """
    x = np.random.default_rng(1).standard_normal(1000)
    with Runner([IMPORTS, textwrap.dedent(sloppy)]) as learner:
        found = learner.ratio(Call("careful", (x, 50_000)), Call(Probe("relu_in_python"), (x,)), rounds=5)
    assert len(found.seen) == 5
    for (given, n), result in found.seen:
        np.testing.assert_array_equal(result, given * n)
    given = [one.tobytes() for (one, _), _ in found.seen]
    assert len(set(given)) == 5
    assert given[-1] == x.tobytes()
    counts = [n for (_, n), _ in found.seen]
    assert len(set(counts)) == 5
    assert all(49_000 < n <= 50_000 for n in counts)


@pytest.mark.parametrize("when", ["ready", "result"])
def test_work_outside_of_the_timed_call_is_noticed(when):
    patch = f"""
    from tinytorch.course.running.cells import Cells
    honest = Cells.do_go, Cells.do_{when}
    def go(self, place):
        if place == 1:
            honest[0](self, place)
    def other(self, place, **request):
        if "{when}" == "ready":
            honest[1](self, place, **request)
        if place == 0:
            honest[0](self, place)
        if "{when}" == "result":
            return honest[1](self, place)
    Cells.do_go, Cells.do_{when} = go, other
    """
    with pytest.raises(WrongError, match="outside of the call that is timed"):
        ratio_of(textwrap.dedent(patch), size=300_000)


@pytest.mark.parametrize(
    "patch",
    [
        "import tinytorch.course.probes as p\np.sleeping = lambda seconds: abs",
        "import sys\nsys.modules['tinytorch.' + 'course.probes'].sleeping = lambda seconds: abs",
        "import importlib\nimportlib.import_module('tinytorch.' + 'course.probes').sleeping = lambda s: abs",
    ],
)
def test_what_probes_tell_counts_for_nothing_where_they_could_be_changed(patch):
    with Runner([IMPORTS, HONEST, patch]) as learner:
        goes = learner.call("relu", np.array([-1.0, 2.0]))
        np.testing.assert_array_equal(goes, [0, 2])
        with pytest.raises(WrongError, match=r"its cells use .*could have been changed"):
            learner.call("apply", Probe("sleeping", (0.0,)), 5)


def test_kept_answers_are_of_no_use():
    memo = """
    calculate, answers = slow, {}
    def slow(x):
        if x.tobytes() not in answers:
            answers[x.tobytes()] = calculate(x)
        return answers[x.tobytes()]
    """
    assert ratio_of(textwrap.dedent(memo)) > 0.5


def test_answers_recorded_before_are_wrong():
    record = """
    recorded = [np.ones(3)]
    def square(x):
        recorded.append(recorded[-1])
        return recorded[-1]
    """
    with Runner([IMPORTS, textwrap.dedent(record)]) as learner:
        for seed in range(3):
            x = np.random.default_rng(seed).standard_normal(3)
            assert not np.allclose(learner.call("square", x), x * x)


def test_a_patched_numpy_makes_nothing_right():
    patch = """
    np.allclose = np.array_equal = lambda *_: True
    np.ndarray_eq = True
    np.matmul = np.dot = lambda a, b: np.zeros((len(a), b.shape[1]))
    def product(a, b):
        return np.dot(a, b)
    """
    with Runner([IMPORTS, textwrap.dedent(patch)]) as learner:
        a = np.random.default_rng(1).standard_normal((4, 4))
        assert not np.allclose(learner.call("product", a, a), a @ a)


def test_one_thread_cannot_pass_for_several():
    patch = """
    from tinytorch.course import shares
    shares.busiest = lambda call, seconds: [call() for _ in range(20)] and 0.5
    """
    x = np.random.default_rng(1).standard_normal(1_000_000)
    with Runner([IMPORTS, HONEST, textwrap.dedent(patch)]) as learner:
        assert learner.busiest("alone", x, seconds=1.0) > 0.9


def test_what_a_process_says_is_shown_as_one_line_without_control_characters():
    code = "def bad():\n    raise ValueError('\\x1b[2J\\x07 first\\nsecond' + 'x' * 10_000)"
    with Runner([code]) as learner, pytest.raises(RaisedError) as caught:
        learner.call("bad")
    assert caught.value.message.startswith("?[2J? first second")
    assert len(str(caught.value)) < 700
