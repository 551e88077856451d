"""Profiles: what is found out about functions whose bounds are known."""

import json
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tests.profiler import subjects
from tests.roofs import made, measured_there
from tinytorch import ops
from tinytorch.core.layers import Dense
from tinytorch.core.networks import Sequential
from tinytorch.profiler import profile as profile_module
from tinytorch.profiler.conduct import watch
from tinytorch.profiler.limiting import ThreadLimit
from tinytorch.profiler.profile import profile
from tinytorch.runtime import threads
from tinytorch.runtime.cost import Cost


def quick(func, *args, **options):
    return profile(func, *args, seconds=0.05, known=made(threads=threads.get_num_threads()), **options)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """As many as the made-up limits are for."""
    monkeypatch.setattr(threads, "_chosen", 2)


def test_a_loop_is_bound_by_the_interpreter(monkeypatch):
    measured_there(monkeypatch, 1e-3, share=0.9)
    found = quick(subjects.loop, np.ones(5000))
    assert found.bound.name == "call overhead"
    assert "90% of the time is Python's interpreter" in found.bound.reason
    assert found.count.by == "NumPy operations"
    assert "numba" in found.recommendations[0]


def test_a_pointer_chase_is_bound_by_latency(monkeypatch):
    measured_there(monkeypatch, 20_000 * 90e-9)
    found = quick(subjects.chase, *subjects.way())
    assert found.count.by == "numba source"
    assert found.evidence.dependent > 0.9
    assert found.bound.kind == "latency"
    assert found.evidence.per_load == pytest.approx(90e-9)
    assert "wait for the load before" in str(found)


def test_a_product_of_ours_brings_its_cost(monkeypatch):
    measured_there(monkeypatch, 1e-3)
    a = np.ones((200, 300), np.float32)
    found = quick(ops.matmul, a, a.T)
    assert found.count.by == "declared"
    assert found.place.cost == Cost(2 * 200 * 300 * 200, 2 * a.nbytes, 200 * 200 * 4)
    assert found.evidence.compute == pytest.approx(0.24)  # 24 MFLOP in 1 ms, of 100 GFLOP/s
    assert found.roofline.dtype == np.float32


def test_kernels_are_seen_inside_a_network():
    network = Sequential([Dense(64, 32), Dense(32, 8)])
    found = quick(network, np.ones((16, 64), np.float32))
    assert found.count.by == "declared"
    (entry,) = found.count.details
    assert (entry.name, entry.calls) == ("linear", 2)
    assert found.count.operations == 2 * 16 * (64 * 32 + 32 + 32 * 8 + 8)


def test_numpy_around_our_kernels_counts_too():
    x, w = np.ones((8, 16), np.float32), np.ones((16, 4), np.float32)
    found = quick(lambda x, w: ops.matmul(np.exp(x), w), x, w)
    assert found.count.by == "declared"
    assert {entry.name for entry in found.count.details} >= {"matmul", "exp"}
    assert found.count.operations == 8 * 16 + 2 * 8 * 16 * 4


def test_what_minds_the_arrays_that_count_is_called_without_them():
    def plain_only(x):
        if type(x) is not np.ndarray:
            raise TypeError("an ndarray and nothing else")
        return ops.relu(x)

    found = quick(plain_only, np.ones(10))
    assert (found.count.by, found.count.operations) == ("declared", 10)


def test_a_stated_cost_is_believed():
    found = quick(lambda x: x, np.ones(8), cost=Cost(1000, 64, 0), dtype="float32")
    assert found.count.by == "stated"
    assert found.roofline.dtype == np.float32
    assert found.provenance["operations"].startswith("assumed")
    with pytest.raises(ValueError, match="some bytes must move"):
        quick(len, [], cost=Cost(1, 0, 0))


def test_what_is_not_a_numpy_function_has_its_bytes_counted():
    found = quick(bytes, np.ones(1000))
    assert found.count.by == "bytes in and out"
    assert found.evidence.compute is None
    assert "unknown" in str(found)


def test_sizes():
    found = quick(subjects.product, *subjects.squares(1), scaled=subjects.squares)
    assert [size.factor for size in found.by_size] == [0.125, 0.25, 0.5, 1.0]
    assert [size.cost.operations for size in found.by_size] == [2 * n**3 for n in (8, 16, 32, 64)]


def test_a_function_of_one_size_keeps_the_rest_of_its_profile():
    found = quick(subjects.only_whole, np.ones(100), scaled=lambda factor: (np.ones(int(100 * factor)),))
    assert found.by_size == ()
    assert "at other sizes it raised AssertionError: how it scales is not known" in found.notes


def test_a_slow_function_is_called_no_more_than_it_must_be(monkeypatch):
    calls = []

    def slow(x):
        calls.append(1)
        time.sleep(0.6)

    found = quick(slow, np.ones(3), scaled=lambda factor: (np.ones(3),))
    assert len(calls) <= 12
    assert found.by_threads == {}
    assert any("it is slow" in note for note in found.notes)


def test_who_sleeps_waits():
    found = quick(subjects.dozes, np.ones(3))
    assert found.bound.name == "waiting"
    assert not any("CPUs busy: split" in told for told in found.recommendations)


def test_inputs_that_are_changed_are_given_anew():
    x = np.zeros(100)
    found = quick(subjects.changes, x)
    assert not x.any()
    assert "it changes its inputs: each call is given a fresh copy" in found.notes


def test_an_output_is_there_to_be_written_to():
    assert watch(np.add, (np.ones(3), np.ones(3)), {"out": np.zeros(3)}).notes == ()


def test_a_function_that_changes_its_mind():
    found = quick(subjects.fickle, np.zeros(3))
    assert any("returns something different each time" in note for note in found.notes)


def test_what_cannot_be_copied_is_given_as_it_is():
    lock = threading.Lock()
    assert quick(lambda lock, x: x + 1, lock, np.ones(10)).count.operations == 10


def test_errors_are_the_function_s_own():
    with pytest.raises(KeyError):
        quick(subjects.raises, 1)


def test_everything_is_told_in_json_and_in_words():
    told = []
    found = quick(subjects.softmax, np.ones((64, 64)), name="<softmax>[red]", tell=told.append)
    content = json.loads(json.dumps(found.as_dict()))
    assert content["name"] == "<softmax>[red]"
    assert content["place"]["level"] in ("l1", "l2", "l3", "memory")
    assert set(content["threads"]) == {"1", "2"}
    assert "<softmax>[red]" in str(found)
    assert {"calling <softmax>[red]", "timing <softmax>[red] beside its roofs"} <= set(told)
    assert content["provenance"]["seconds"].startswith("measured")


def test_threads_are_limited_and_given_back():
    import threadpoolctl

    np.ones((2, 2)) @ np.ones((2, 2))
    limit = ThreadLimit()
    with limit.within(1):
        assert threads.get_num_threads() == 1
        assert all(pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info())
    assert threads.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError), limit.within(1):
        raise ZeroDivisionError
    assert threads.get_num_threads() == 2


@pytest.mark.parametrize(("held", "busy"), [(0.0, 0.25), (0.03, 1.0)])
def test_time_in_which_others_have_the_cpu_is_no_waiting(monkeypatch, held, busy):
    """Of 40 ms a call uses the CPU for 10; who sleeps through the rest waits, who is held off does not."""
    now = {"wall": 0.0, "used": 0.0, "held": 0.0}

    def call():
        now["wall"] += 0.04
        now["used"] += 0.01
        now["held"] += held

    clocks = {"perf_counter": lambda: now["wall"], "process_time": lambda: now["used"]}
    monkeypatch.setattr(profile_module, "time", SimpleNamespace(**clocks))
    monkeypatch.setattr(profile_module, "held_off", lambda: now["held"])
    assert profile_module._busy(call, (), {}, "same") == pytest.approx(busy)
