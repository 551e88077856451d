"""Copies: as their originals lie, and never the originals."""

import threading

import numpy as np
import pytest

from tinytorch.measure import WrongResultError, compare
from tinytorch.measure.copies import duplicate


def test_what_is_given_twice_is_one_array():
    x = np.arange(6.0)
    a, b, (c,) = duplicate((x, x, [x]))
    assert a is b is c
    assert a is not x


def test_what_overlaps_overlaps():
    x = np.arange(10.0)
    a, b = duplicate((x[:6], x[4:]))
    a[4] = -1
    assert b[0] == -1
    assert x[4] == 4


@pytest.mark.parametrize(
    "array",
    [
        np.broadcast_to(1.0, (300, 300)),
        np.lib.stride_tricks.sliding_window_view(np.arange(50.0), 7),
        np.arange(24.0).reshape(4, 6)[::-2, ::2],
        np.arange(24).reshape(4, 6).T,
        np.zeros((0, 3)),
        np.array(3, np.float32),
        np.frombuffer(bytes(33), np.uint8)[1:].view(np.float32),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    ],
    ids=lambda array: f"{array.shape}{array.strides}",
)
def test_strides_values_and_flags(array):
    (new,) = duplicate((array,))
    assert (new.shape, new.strides, new.dtype) == (array.shape, array.strides, array.dtype)
    assert new.flags.writeable == array.flags.writeable
    assert new.tobytes() == array.tobytes()
    assert new.size == 0 or not np.may_share_memory(new, array)
    assert (new.ctypes.data - array.ctypes.data) % 64 == 0 or not array.size


def test_a_column_is_copied_without_its_matrix():
    (new,) = duplicate((np.zeros((1000, 1000))[:, 0],))
    assert new.base is None or new.base.nbytes < 10_000


def test_other_things():
    lock, words = threading.Lock(), {"a": [1, {2}]}
    again, other, number, matrix = duplicate((lock, words, 3, np.matrix([[1.0]])))
    assert again is lock
    assert other == words
    assert other["a"] is not words["a"]
    assert number == 3
    assert isinstance(matrix, np.matrix)


def test_tensors_keep_asking_for_gradients():
    torch = pytest.importorskip("torch")
    x = torch.ones(3, requires_grad=True)
    (new,) = duplicate((x,))
    (new * 2).sum().backward()
    assert x.grad is None
    assert new.grad.tolist() == [2.0, 2.0, 2.0]


def test_a_shared_output_hides_nothing():
    x, y, out = np.arange(3.0), np.arange(3.0) + 2, np.empty(3)
    with pytest.raises(WrongResultError, match="mul"):
        compare({"add": np.add, "mul": np.multiply}, x, y, kwargs={"out": out})


def test_what_returns_nothing_is_held_by_what_it_did():
    with pytest.raises(WrongResultError, match="fill"):
        compare(
            {"sort": lambda v: v.sort(), "fill": lambda v: v.fill(0)}, np.array([2.0, 1.0]), inputs="fresh"
        )
