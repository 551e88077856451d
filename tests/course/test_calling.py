"""A function called on copies: inputs stay as they were, results come back as plain values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.core.tensor import Tensor
from tinytorch.course import calling
from tinytorch.course.local import Local
from tinytorch.course.subject import Call, NotAttemptedError, Other, Probe, RaisedError, WrongError


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    return calling.call(function, args, kwargs, Path(calling.__file__).parent)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(24.0).reshape(3, 8)[:, ::2],
        np.zeros((0, 3)),
        np.array(5, np.int8),
        np.arange(3, dtype=">f4"),
    ],
    ids=["C", "Fortran", "strided", "empty", "0-d", "big-endian"],
)
def test_a_copy_has_its_layout_and_memory_of_its_own(array: np.ndarray) -> None:
    copy = calling.like(array)
    np.testing.assert_array_equal(copy, array)
    assert copy.dtype == array.dtype
    assert copy.flags.c_contiguous == array.flags.c_contiguous
    assert copy.flags.f_contiguous == array.flags.f_contiguous
    assert not np.shares_memory(copy, array)


def test_an_input_changed_in_place_is_named() -> None:
    def second(a: np.ndarray, b: np.ndarray) -> None:
        b[0] = 7

    def by_name(a: np.ndarray, weights: list[np.ndarray]) -> None:
        weights[1][0] = 7

    with pytest.raises(WrongError, match="number 2 in place"):
        call(second, np.zeros(2), np.zeros(2))
    with pytest.raises(WrongError, match="weights in place"):
        call(by_name, np.zeros(2), weights=[np.zeros(2), np.zeros(2)])


def test_an_input_given_another_dtype_is_changed() -> None:
    def reinterpreted(a: np.ndarray) -> None:
        a.dtype = np.int64

    with pytest.raises(WrongError, match="in place"):
        call(reinterpreted, np.zeros(2))


def test_the_caller_s_own_array_is_not_touched() -> None:
    array = np.zeros(3)

    def change(a: np.ndarray) -> None:
        a += 1

    with pytest.raises(WrongError):
        call(change, array)
    assert not array.any()


def test_a_generator_may_be_drawn_from() -> None:
    found = Local({"f": lambda rng: rng.random()}).call("f", Probe("generator", (3,)))
    assert found == np.random.default_rng(3).random()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Tensor([1.0, 2.0]), np.array([1.0, 2.0])),
        (np.float32(2.5), np.array(2.5, np.float32)),
        ((1, "a", None), (1, "a", None)),
        ({"x": [np.int64(3)]}, {"x": [np.array(3)]}),
        (np.array([object()]), Other("array of object")),
        (iter([]), Other("list_iterator")),
        (2j, Other("complex")),
    ],
    ids=["tensor", "NumPy's number", "tuple", "dict", "objects", "iterator", "complex"],
)
def test_results_are_plain(value: Any, expected: Any) -> None:
    found = call(lambda: value)
    assert type(found) is type(expected)
    assert repr(found) == repr(expected)


def test_what_a_function_raises_is_told_with_its_line() -> None:
    def wrong() -> None:
        raise IndexError("out of range")

    with pytest.raises(RaisedError, match="IndexError: out of range") as found:
        call(wrong)
    assert "LookupError" in found.value.kinds
    with pytest.raises(NotAttemptedError):
        call(lambda: (_ for _ in ()).throw(NotImplementedError()))


def test_a_function_that_is_not_there_is_not_attempted() -> None:
    with pytest.raises(NotAttemptedError, match="no function f"):
        Local({}).call("f")
    with pytest.raises(WrongError, match="f is a int, not a function"):
        Local({"f": 3}).call("f")


def test_a_ratio_is_of_the_two_calls() -> None:
    subject = Local({})
    short, long = Call(Probe("sleeping", (0.002,)), (1,)), Call(Probe("sleeping", (0.03,)), (2,))
    found = subject.ratio(short, long, rounds=3)
    assert found.value < 0.8
    assert (found.first, found.second) == (1, 2)
