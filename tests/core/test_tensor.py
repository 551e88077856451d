"""The tensor: a wrapped array and its operators."""

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest

from tinytorch.core.tensor import Tensor


def test_wraps_without_a_copy():
    for dtype in ("float32", "int8", "bool", "complex64", ">f4", ml_dtypes.bfloat16):
        array = np.zeros((2, 3), dtype)[:, ::2]
        assert Tensor(array).data is array
    assert Tensor(Tensor(array)).data is array
    assert Tensor(array, dtype=np.float64).dtype == np.float64
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor([1.0]).dtype == np.float64
    assert Tensor(2.5).shape == ()


def test_attributes():
    t = Tensor(np.arange(6.0).reshape(2, 3))
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((2, 3), 2, 6, np.float64, 2)
    assert t.T.shape == (3, 2)
    assert np.shares_memory(t.T.data, t.data)
    assert t.numpy() is t.data
    assert t.reshape(3, 2).shape == t.reshape((3, 2)).shape == (3, 2)
    assert t.reshape(-1).shape == (6,)
    assert t[0, 1].item() == 1
    assert type(t[0]) is Tensor
    assert t[Tensor([0, 1]), 0].shape == (2,)
    t[0] = Tensor([7.0, 8.0, 9.0])
    assert np.array_equal(t.data[0], [7, 8, 9])
    assert [row.shape for row in t] == [(3,), (3,)]
    assert float(Tensor(2.0)) == 2.0
    assert int(Tensor([3])) == 3
    assert Tensor([1.0])
    with pytest.raises(TypeError, match="0-d"):
        iter(Tensor(1.0))


def test_operators_broadcast_on_both_sides():
    a, b = np.arange(1.0, 7).reshape(2, 3), np.array([2.0, 3.0, 4.0])
    for left, right in ((Tensor(a), Tensor(b)), (Tensor(a), b), (a, Tensor(b))):
        for result, exact in (
            (left + right, a + b),
            (left - right, a - b),
            (left * right, a * b),
            (left / right, a / b),
        ):
            assert type(result) is Tensor
            assert np.array_equal(result.data, exact)
        product = left @ (right.T if isinstance(right, np.ndarray) else right)
        assert type(product) is Tensor
        assert np.array_equal(product.data, a @ b)
    t = Tensor(a)
    assert np.array_equal((2 - t).data, 2 - a)
    assert np.array_equal((2 / t).data, 2 / a)
    assert np.array_equal((-t).data, -a)
    assert (Tensor(np.float32(1)) + 1).dtype == np.float32
    with pytest.raises(ValueError, match="broadcast"):
        Tensor([1.0, 2.0]) + Tensor([1.0, 2.0, 3.0])


def test_comparisons_are_elementwise():
    t = Tensor([1.0, 2.0, 3.0])
    for result, exact in (
        (t == 2, [False, True, False]), (t != 2, [True, False, True]), (t < 2, [True, False, False]),
        (t <= 2, [True, True, False]), (t > Tensor([0.0, 2.0, 4.0]), [True, False, False]),
        (t >= 2, [False, True, True]), (np.array([1.0, 0.0, 3.0]) == t, [True, False, True]),
    ):  # fmt: skip
        assert np.array_equal(result.data, exact)
        assert type(result) is Tensor
    assert len({t, t}) == 1


def test_lists_follow_numpy_s_rules():
    with pytest.raises(OverflowError):
        Tensor([300], dtype=np.int8)
    assert Tensor([2**64], dtype=float).item() == 2.0**64
    assert Tensor(np.array([300]), dtype=np.int8).item() == 44
    for dtype in ("O", "S3"):
        with pytest.raises(TypeError, match="holds numbers"):
            Tensor([1], dtype=dtype)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_subclasses_of_ndarray():
    with pytest.raises(TypeError, match="masked"):
        Tensor(np.ma.array([1.0, 2.0], mask=[0, 1]))
    assert type(Tensor(np.matrix([[1.0]])).data) is np.ndarray


def test_protocols():
    t = Tensor(np.arange(3.0))
    assert np.asarray(t) is t.data
    assert np.array(t) is not t.data
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="only by a copy"):
        np.array(t, dtype=np.float32, copy=False)
    assert np.shares_memory(np.from_dlpack(t), t.data)
    assert np.sum(t) == 3
    assert np.array_equal(np.maximum(t, 1), [1, 1, 2])
    assert np.array_equal(pickle.loads(pickle.dumps(t)).data, t.data)
    assert copy.deepcopy(t).data is not t.data


def test_repr():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], dtype=float64)"
    assert repr(Tensor(np.int8(3))) == "Tensor(3, dtype=int8)"


@pytest.mark.parametrize(
    "data", [[object()], ["a"], [b"a"], None, np.zeros(2, "M8[s]"), np.zeros(2, "i4,f4")]
)
def test_what_is_not_numeric(data):
    with pytest.raises(TypeError, match="a Tensor holds numbers"):
        Tensor(data)


def test_ragged():
    with pytest.raises(ValueError, match="inhomogeneous"):
        Tensor([[1, 2], [3]])
