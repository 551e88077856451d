"""Agreement: which results pass for the same."""

import ml_dtypes
import numpy as np
import pytest

from tinytorch.measure.agreement import difference


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (np.float32([1, 2]), np.float32([1, 2 + 1e-6])),
        (np.float64([1, np.nan, np.inf]), np.float64([1, np.nan, np.inf])),
        (np.arange(3), np.arange(3)),
        ([np.ones(2), {"x": 1}], [np.ones(2), {"x": 1}]),
        (np.ones(2, ml_dtypes.bfloat16), np.ones(2, np.float32)),
        (None, None),
        ("text", "text"),
        (1 + 2j, 1 + 2j),
        (np.ones((0, 3)), np.ones((0, 3))),
        (np.float32(1e-30) * np.ones(2, np.float32), np.float32([1e-30, 1e-30])),
        ({}, {}),
        (np.array(["a", "b"]), np.array(["a", "b"])),
        (np.array(["2026-01-01"], "M8[D]"), np.array(["2026-01-01"], "M8[D]")),
        (np.ones(2, ml_dtypes.float8_e5m2), np.ones(2, ml_dtypes.float8_e5m2)),
        (np.ones(2, ml_dtypes.int4), np.ones(2, ml_dtypes.int4)),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), np.ma.array([1.0, 9.0], mask=[0, 1])),
    ],
)
def test_the_same(result, expected):
    assert difference(result, expected) is None


@pytest.mark.parametrize(
    ("result", "expected", "said"),
    [
        (np.float32([1, 2]), np.float32([1, 2.01]), "2.0 instead of 2.009999990463257 at (1,)"),
        (np.arange(3), np.arange(1, 4), "0 instead of 1 at (0,)"),
        (np.ones(2), np.ones(3), "shape (2,) instead of (3,)"),
        (np.float64([np.nan]), np.float64([1.0]), "nan instead of 1.0"),
        (np.float64([1.0]), np.float64([np.inf]), "1.0 instead of inf"),
        ([1, 2], [1, 3], "part 1: 2 instead of 3"),
        ([1], [1, 2], "1 parts instead of 2"),
        ({"a": 1}, {"b": 1}, "keys ['a'] instead of ['b']"),
        ({"a": 1}, {"a": 2}, "a: 1 instead of 2"),
        ("text", "other", "'text' instead of 'other'"),
        (object(), np.ones(2), "instead of"),
        (np.zeros(2, np.float16), np.ones(2, np.float16), "0.0 instead of 1.0"),
        (np.zeros(2, ml_dtypes.bfloat16), np.ones(2, ml_dtypes.bfloat16), "0 instead of 1"),
        (np.complex128([1 + 1j, 1e308]), np.complex128([2 + 1j, 1e308]), None),
        (np.complex128([1 + 1j, 3]), np.complex128([2 + 1j, 3]), "(1+1j) instead of (2+1j)"),
        (np.ones(2, ml_dtypes.int4), np.zeros(2, ml_dtypes.int4), "1 instead of 0"),
        (np.array(["a"]), np.array(["b"]), "instead of"),
        (np.ma.array([1.0], mask=[1]), np.ma.array([1.0]), "another mask"),
        (_nested(3000), _nested(3000), "nested too deeply"),
    ],
)
def test_not_the_same(result, expected, said):
    wrong = difference(result, expected)
    if said is None:  # 1 is nothing beside 1e308
        assert wrong is None
    else:
        assert wrong is not None
        assert said in wrong


def test_tolerance_is_relative_to_the_largest_value():
    assert difference(np.float64([0.0, 1000.0]), np.float64([0.5, 1000.0]), 1e-3) is None
    assert difference(np.float64([0.0, 1000.0]), np.float64([0.5, 1000.0]), 1e-4) is not None


def test_a_tolerance_counts_for_integers_too():
    assert difference(np.array([100]), np.array([101]), 0.1) is None
    assert difference(np.array([100]), np.array([150]), 0.1) is not None


def test_tensors():
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0])
    assert difference(x.bfloat16(), x) is None
    assert difference(x.to_sparse(), x) is None
    assert difference(torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])) is None
    assert difference(x.requires_grad_(), x.detach() + 1) is not None
