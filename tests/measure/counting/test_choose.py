"""The order in which a cost is looked for, and that the count says which it was."""

import json

import numpy as np
import pytest

from tinytorch.core.tensor import Tensor
from tinytorch.measure.counting import Count, bytes_in_and_out, hardware, what_it_does
from tinytorch.runtime.cost import Cost

X, Y = np.ones((6, 5), np.float32), np.ones((5, 4), np.float32)


@pytest.fixture(autouse=True)
def no_counters(monkeypatch):
    monkeypatch.setattr(hardware, "available", lambda: "none here")


def unreached(*args, **kwargs):
    raise AssertionError("called though the cost is known")


def test_stated_comes_first():
    count = what_it_does(unreached, (X,), stated=Cost(7, 8, 9), dtype="float32", declared=unreached)
    assert (count.cost, count.by, count.dtype) == (Cost(7, 8, 9), "stated", np.float32)


def test_declared_comes_second(monkeypatch):
    monkeypatch.setattr(hardware, "available", unreached)
    own = Count(1, 2, 3, np.dtype(np.int8), "declared")
    asked = []

    def declared(func, args, kwargs):
        asked.append((func, args, kwargs))
        return own

    assert what_it_does(unreached, (X,), {"y": Y}, declared=declared) is own
    assert asked == [(unreached, (X,), {"y": Y})]


def test_counters_come_third(monkeypatch):
    monkeypatch.setattr(hardware, "available", lambda: None)
    own = Count(11, 0, 0, np.dtype(np.float32), "hardware counters")
    monkeypatch.setattr(hardware, "count_hardware", lambda func, args, kwargs: (own, None))
    count = what_it_does(np.add, (X, X), declared=lambda *_: None)
    assert (count.operations, count.by, count.dtype) == (11, "hardware counters", np.float32)
    assert (count.read, count.written) == (120, 120)  # of the arrays that NumPy went through
    assert [(entry.name, entry.calls, entry.operations) for entry in count.details] == [("add", 1, 0)]
    count = what_it_does(bytes, (X,))
    assert (count.operations, count.read, count.by) == (11, 120, "hardware counters")


def test_counters_of_the_cpu_tell_nothing_of_a_gpu(monkeypatch):
    class OnGpu:
        def __init__(self):
            self.__cuda_array_interface__ = {"data": (4096, False), "shape": (4, 8), "typestr": "<f4"}

        def __array__(self, *_):
            raise TypeError("it is on a GPU")

    monkeypatch.setattr(hardware, "available", lambda: None)
    monkeypatch.setattr(hardware, "count_hardware", unreached)
    assert what_it_does(lambda x: x, (OnGpu(),)).cost == Cost(0, 128, 0)


def test_counters_that_fail_or_see_nothing(monkeypatch):
    monkeypatch.setattr(hardware, "available", lambda: None)
    empty = Count(0, 2, 0, None, "hardware counters")
    monkeypatch.setattr(hardware, "count_hardware", lambda *_: (empty, None))
    count = what_it_does(np.add, (X, X))
    assert count.by == "NumPy operations" and "no floating-point operation" in count.note

    def fail(*_):
        raise OSError(24, "too many files")

    monkeypatch.setattr(hardware, "count_hardware", fail)
    assert "too many files" in what_it_does(np.add, (X, X)).note


def test_numpy():
    count = what_it_does(lambda: X @ Y, dtype="float64")
    assert (count.operations, count.by, count.dtype) == (240, "NumPy operations", np.float64)
    json.dumps(count.as_dict())


def test_bytes_alone():
    count = what_it_does(lambda x, y: np.asarray(x) @ np.asarray(y), (X, Y))
    assert (count.by, count.operations) == ("bytes in and out", 0)
    assert (count.read, count.written) == (120 + 80, 96)
    count = what_it_does(lambda t, more: t @ more[0], (Tensor(X), [Tensor(Y), X]))
    assert (count.by, count.read, count.written) == ("bytes in and out", 200, 96)
    assert what_it_does(sum, ([1, 2],)).cost == Cost(0, 0, 0)


def test_result_that_was_given_is_not_written_again():
    assert bytes_in_and_out((X,), {}, X).cost == Cost(0, 120, 0)


def test_a_function_that_takes_no_subclass():
    def picky(x):
        if type(x) is not np.ndarray:
            raise TypeError("no subclass, please")
        return x * 2

    count = what_it_does(picky, (X,))
    assert (count.by, count.read, count.written) == ("bytes in and out", 120, 120)
    assert "counting its operations raised TypeError" in count.note


def test_a_function_that_fails_anyway():
    with pytest.raises(ValueError, match="mismatch"):
        what_it_does(np.matmul, (X, X))
